"""script/server, the README and the start page, as a new user meets them."""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pymongo
import pytest
from mongod import free_port

from tests import ROOT
from tests.factories import PASSWORD, log_in, sign_up
from tests.system.client import Client

README = (ROOT / "README.md").read_text()
START = (ROOT / "docs/start.md").read_text()


SECONDS = 120
"""For all that a server is waited for: a busy machine is no reason to fail."""


class Server:
    """A running script/server; what it prints is in `output`."""

    def __init__(self, instance, port, **environment):
        self.url = f"http://127.0.0.1:{port}"
        self.instance = instance
        self.output = ""
        self._up = threading.Event()
        self.process = subprocess.Popen(
            [ROOT / "script/server", "--port", str(port), "--instance", instance],
            # A busy machine is no reason to be sent away.
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(instance),
                "HASH_QUEUE_SECONDS": "20",
                "BCRYPT_ROUNDS": "4",
                "WEB_CONCURRENCY": "1",
                **environment,
            },
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
        assert self._up.wait(SECONDS)
        assert self.process.poll() is None, self.output
        return self

    def press_ctrl_c(self):
        os.killpg(self.process.pid, signal.SIGINT)  # as a terminal does: to the whole group

    def wait_until_ended(self):
        status = self.process.wait(SECONDS)
        self._reader.join(10)
        self.process.stdout.close()
        return status

    def mongo(self):
        settings = (self.instance / "environment").read_text()
        return pymongo.MongoClient(re.search(r"^MONGO_URI='?([^'\n]+)", settings, re.MULTILINE)[1])

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.wait_until_ended()


@pytest.fixture
def serve(tmp_path):
    """Start script/server on its own data; ended with the test."""
    started = []

    def serve(port=None, **environment):
        started.append(Server(tmp_path / "instance", port or free_port(), **environment))
        return started[-1]

    yield serve
    for server in started:
        server.end()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("running") / "instance", free_port())
    yield server.wait_until_up()
    server.end()


@pytest.fixture
def server(running):
    """A server that tests share, without users."""
    with running.mongo() as mongo:
        mongo.get_default_database()["users"].delete_many({})
        mongo.get_default_database()["throttles"].delete_many({})
    return running


def test_users_and_tokens_outlive_a_restart_and_a_kill_and_ctrl_c_stops_everything(serve, tmp_path):
    server = serve().wait_until_up()
    assert f"Try it in the browser: {server.url}/docs" in server.output
    sign_up(Client(server.url))
    token = log_in(Client(server.url)).json["access_token"]
    lock = int((tmp_path / "instance/mongodb/mongod.lock").read_text())
    server.press_ctrl_c()
    assert server.wait_until_ended() == 0
    assert server.output.rstrip().endswith("Stopped.")
    assert "Traceback" not in server.output
    with pytest.raises(ConnectionRefusedError):
        Client(server.url).get("/")
    with pytest.raises(ProcessLookupError):
        os.kill(lock, 0)

    again = serve().wait_until_up()
    profile = Client(again.url).get("/api/users/me", headers={"Authorization": f"Bearer {token}"})
    assert profile.json["email"] == "ada@example.com"
    assert log_in(Client(again.url)).status_code == 200

    mongod = int((tmp_path / "instance/mongodb/mongod.lock").read_text())
    gunicorn = children(again.process.pid) - {mongod}
    workers = {worker for master in gunicorn for worker in children(master)}
    for pid in {again.process.pid, mongod} | gunicorn | workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    again.wait_until_ended()
    last = serve().wait_until_up()
    assert log_in(Client(last.url)).status_code == 200
    last.press_ctrl_c()
    assert last.wait_until_ended() == 0
    assert not (tmp_path / "instance/environment").exists()


def children(pid):
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_the_call_in_the_banner_works_as_it_is_printed(server):
    call = re.search(r"^ +(curl .*?}')$", server.output, re.MULTILINE | re.DOTALL)[1]
    run = subprocess.run(call, shell=True, capture_output=True, text=True)
    assert "201 CREATED" in run.stdout


def test_the_letters_are_read_as_the_banner_says_and_the_link_goes_to_the_server(server):
    sign_up(Client(server.url))
    [call] = re.findall(r"^ +(script/flask .* mail show)$", server.output, re.MULTILINE)
    run = subprocess.run(call, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert "To: ada@example.com\n" in run.stdout, run.stderr
    assert f"\n{server.url}/verify-email?token=" in run.stdout
    assert (server.instance / "environment").stat().st_mode & 0o777 == 0o600


def test_a_command_reads_files_from_where_it_is_called(server, tmp_path):
    (tmp_path / "users.jsonl").touch()
    command = [ROOT / "script/flask", "--instance", server.instance, "users", "import", "users.jsonl"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.startswith("0 users imported"), run.stderr


def test_a_command_without_a_server_gets_a_sentence(tmp_path):
    command = [ROOT / "script/flask", "--instance", tmp_path, "mail", "show"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert "script/server is not running" in run.stderr


def test_the_commands_for_administrators_of_the_start_page_work(server):
    sign_up(Client(server.url))
    [block] = re.findall(r"```sh\n(script/flask users .*?)```", START, re.DOTALL)
    script = block.replace("script/flask", f"script/flask --instance {server.instance}")
    run = subprocess.run(["bash", "-ec", script], cwd=ROOT, capture_output=True, text=True, input=f"{PASSWORD}\n")
    assert run.returncode == 0, run.stderr
    with server.mongo() as mongo:
        admins = mongo.get_default_database()["users"].find({"roles": "admin"})
        assert {user["email"] for user in admins} == {"ada@example.com", "grace@example.com"}


def test_a_taken_port_gets_a_sentence(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = serve(port)
        assert server.wait_until_ended() == 1
    assert server.output.strip() == f"Port {port} is taken. Stop what listens there, or choose another with --port."


@pytest.mark.parametrize("port", ["70000", "0", "-1", "http"])
def test_what_is_no_port_gets_a_sentence(serve, port):
    server = serve(port)
    assert server.wait_until_ended() == 2
    assert "argument --port: must be a number from 1 to 65535" in server.output
    assert "Traceback" not in server.output


def test_a_second_one_on_the_same_instance_gets_a_sentence(running):
    second = Server(running.instance, free_port())
    assert second.wait_until_ended() == 1
    assert f"Pixora already runs on this instance, {running.instance}: {running.url} (process" in second.output
    assert "Traceback" not in second.output
    assert (running.instance / "environment").exists()


def test_an_instance_that_cannot_be_one_gets_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    server = Server(tmp_path / "file", free_port())
    assert server.wait_until_ended() == 1
    assert server.output.strip() == f"{tmp_path / 'file'} cannot be used: File exists."


def test_secrets_that_were_lost_get_a_sentence(serve, tmp_path):
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance/secrets.json").touch()
    server = serve()
    assert server.wait_until_ended() == 1
    assert "secrets.json holds no SECRET_KEY. Delete it" in server.output


@pytest.mark.parametrize("delay", [0, 0.1, 0.3, 0.6, 1, 1.5, 2, 3])
def test_ctrl_c_at_any_moment_ends_everything_without_a_traceback(serve, delay):
    server = serve()
    deadline = time.monotonic() + SECONDS
    time.sleep(delay)
    while server.process.poll() is None and time.monotonic() < deadline:
        server.press_ctrl_c()
        time.sleep(0.5)
    server.wait_until_ended()
    assert "Traceback" not in server.output
    assert not [process for process in processes() if str(server.instance).encode() in process]
    assert not [process for process in processes() if server.url.removeprefix("http://").encode() in process]


def processes():
    """The command lines of all processes of this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes()


def jwks(server):
    return Client(server.url).get("/.well-known/jwks.json").json["keys"]


def header(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))


def test_tokens_are_signed_by_a_key_pair(server):
    sign_up(Client(server.url))
    [key] = jwks(server)
    signed = header(log_in(Client(server.url)).json["access_token"])
    assert (signed["alg"], signed["kid"]) == ("ES256", key["kid"])


def test_with_hosts_that_are_trusted_it_starts_and_with_a_secret_of_ones_own(serve):
    server = serve(TRUSTED_HOSTS="auth.example.com", JWT_SECRET_KEY="secret" * 8).wait_until_up()
    assert "TRUSTED_HOSTS lets requests in by other names only, for example auth.example.com." in server.output
    answer = Client(server.url).get("/.well-known/jwks.json", headers={"Host": "auth.example.com"})
    assert answer.json == {"keys": []}


def test_a_faulty_setting_gets_a_sentence(serve):
    server = serve(BCRYPT_ROUNDS="plenty")
    assert server.wait_until_ended() == 78
    assert "BCRYPT_ROUNDS: Not a valid integer." in server.output
    assert "Traceback" not in server.output


def test_a_database_and_keys_of_ones_own_are_used_instead_and_a_key_is_made_where_there_is_none(
    serve, tmp_path, mongo_uri, users
):
    server = serve(MONGO_URI=mongo_uri, JWT_KEY_DIR=str(tmp_path / "my-keys")).wait_until_up()
    sign_up(Client(server.url))
    assert users.count_documents({}) == 1
    assert not (tmp_path / "instance/mongodb").exists()
    [key] = jwks(server)
    assert [path.stem for path in (tmp_path / "my-keys").iterdir()] == [key["kid"]]
    assert not (tmp_path / "instance/keys").exists()


def test_the_calls_of_the_readme_print_the_documented_answers(server, tmp_path):
    section = README.split("## The calls")[1].split("\n## ")[0]
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
    """Return the answer without the values that differ between runs."""
    differing = {"id", "access_token", "refresh_token", "created_at", "updated_at", "request_id"}
    return {name: type(value) if name in differing else value for name, value in answer.items()}
