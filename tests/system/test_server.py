"""script/server and the README, as a stranger would use them."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from pixora.embedded import free_port
from tests.factories import PASSWORD, signup_body

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


class Server:
    """A running script/server; what it prints is in `output`."""

    def __init__(self, instance, port, **environment):
        self.url = f"http://127.0.0.1:{port}"
        self.output = ""
        self._up = threading.Event()
        self.process = subprocess.Popen(
            [ROOT / "script/server", "--port", str(port), "--instance", instance],
            # A busy machine is no reason to be sent away.
            env={"PATH": os.environ["PATH"], "HOME": str(instance), "HASH_QUEUE_SECONDS": "20", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.output += line
            if "Ctrl-C stops it" in line:
                self._up.set()
        self._up.set()

    def wait_until_up(self):
        assert self._up.wait(60)
        assert self.process.poll() is None, self.output
        return self

    def press_ctrl_c(self):
        os.killpg(self.process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        return self.wait_until_ended()

    def wait_until_ended(self):
        status = self.process.wait(40)
        self._reader.join(10)
        self.process.stdout.close()
        return status


@pytest.fixture
def serve(tmp_path):
    """Start script/server on its own data; ended with the test."""
    started = []

    def serve(port=None, **environment):
        server = Server(tmp_path / "instance", port or free_port(), **environment)
        started.append(server)
        return server

    yield serve
    for server in started:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            server.wait_until_ended()


def post(url, data, media_type):
    request = urllib.request.Request(url, data, {"Content-Type": media_type})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def log_in(server):
    form = urllib.parse.urlencode({"username": "ada@example.com", "password": PASSWORD}).encode()
    return post(server.url + "/api/auth/login", form, "application/x-www-form-urlencoded")["access_token"]


def get_me(server, token):
    request = urllib.request.Request(server.url + "/api/users/me", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def test_users_and_tokens_outlive_a_restart_and_ctrl_c_stops_everything(serve, tmp_path):
    server = serve().wait_until_up()
    assert f"Try it in the browser: {server.url}/docs" in server.output
    post(server.url + "/api/auth/signup", json.dumps(signup_body()).encode(), "application/json")
    token = log_in(server)
    lock = int((tmp_path / "instance/mongodb/mongod.lock").read_text())
    assert server.press_ctrl_c() == 0
    assert server.output.rstrip().endswith("Stopped.")
    assert "Traceback" not in server.output
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url, timeout=5)
    with pytest.raises(ProcessLookupError):
        os.kill(lock, 0)

    again = serve().wait_until_up()
    assert get_me(again, token)["email"] == "ada@example.com"
    assert log_in(again)


def test_the_call_in_the_banner_works_as_it_is_printed(serve):
    server = serve().wait_until_up()
    call = re.search(r"^ +(curl .*?}')$", server.output, re.MULTILINE | re.DOTALL)[1]
    run = subprocess.run(call, shell=True, capture_output=True, text=True)
    assert "201 CREATED" in run.stdout


def test_the_letters_are_read_as_the_banner_says_and_the_link_goes_to_the_server(serve, tmp_path):
    server = serve().wait_until_up()
    post(server.url + "/api/auth/signup", json.dumps(signup_body()).encode(), "application/json")
    [call] = re.findall(r"^ +(script/flask .* mail show)$", server.output, re.MULTILINE)
    run = subprocess.run(call, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert "To: ada@example.com\n" in run.stdout, run.stderr
    assert f"\n{server.url}/verify-email?token=" in run.stdout
    assert (tmp_path / "instance/environment").stat().st_mode & 0o777 == 0o600
    server.press_ctrl_c()
    assert not (tmp_path / "instance/environment").exists()
    run = subprocess.run(call, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "script/server is not running" in run.stderr


def test_a_taken_port_gets_a_sentence(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = serve(port)
        assert server.wait_until_ended() == 1
    assert server.output.strip() == f"Port {port} is taken. Stop what listens there, or choose another with --port."


def test_a_second_one_on_the_same_data_gets_a_sentence(serve):
    serve().wait_until_up()
    second = serve()
    assert second.wait_until_ended() == 1
    assert "is in use by another mongod" in second.output
    assert "Traceback" not in second.output


def test_a_faulty_setting_gets_a_sentence(serve):
    server = serve(BCRYPT_ROUNDS="plenty")
    assert server.wait_until_ended() == 78
    assert "BCRYPT_ROUNDS: Not a valid integer." in server.output
    assert "Traceback" not in server.output


def test_a_database_of_ones_own_is_used_instead(serve, tmp_path, mongo_uri, users):
    server = serve(MONGO_URI=mongo_uri).wait_until_up()
    post(server.url + "/api/auth/signup", json.dumps(signup_body()).encode(), "application/json")
    assert users.count_documents({}) == 1
    assert not (tmp_path / "instance/mongodb").exists()


def test_it_starts_after_everything_was_killed(serve, tmp_path):
    server = serve().wait_until_up()
    post(server.url + "/api/auth/signup", json.dumps(signup_body()).encode(), "application/json")
    mongod = int((tmp_path / "instance/mongodb/mongod.lock").read_text())
    gunicorn = children(server.process.pid) - {mongod}
    workers = {worker for master in gunicorn for worker in children(master)}
    for pid in {server.process.pid, mongod} | gunicorn | workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.wait_until_ended()
    again = serve().wait_until_up()
    assert log_in(again)


def children(pid):
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_the_calls_in_the_readme_print_what_it_says(serve, tmp_path):
    server = serve().wait_until_up()
    section = README.split("## The four calls")[1].split("\n### Verifying")[0]
    script, expected = [], []
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        for call in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = call.splitlines()
            end = next((number for number, line in enumerate(lines) if line.startswith("{")), len(lines))
            script.append("\n".join(lines[:end]).replace("http://127.0.0.1:8000", server.url))
            expected += lines[end:]
    assert len(expected) == 5
    run = subprocess.run(["bash", "-ec", "\n".join(script)], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    printed = [json.loads(line) for line in run.stdout.splitlines() if line]
    assert [shape(answer) for answer in printed] == [shape(json.loads(line)) for line in expected]


def shape(answer):
    """The answer, without what differs from run to run."""
    differing = {"id", "access_token", "refresh_token", "created_at", "updated_at", "request_id"}
    return {name: type(value) if name in differing else value for name, value in answer.items()}
