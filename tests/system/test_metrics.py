"""GET /metrics of real workers: what several count together, and what becomes of it when they come and go."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from mongod import free_port

from pixora.observability import metric_files
from tests.factories import log_in
from tests.system.client import Client
from tests.system.conftest import ROOT, running_nginx
from tests.timeouts import wait_until

WORKERS = 4
SECONDS = 120


def ask(url, path="/", **headers):
    """Make a request on a connection of its own, so that any worker may have it."""
    request = urllib.request.Request(f"{url}{path}", headers={name.replace("_", "-"): v for name, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def port_of(url):
    return int(url.rsplit(":", 1)[1])


def counted(url, route="/", status=200):
    name = f'pixora_http_request_duration_seconds_count{{method="GET",route="{route}",status="{status}"}}'
    found = re.search(rf"^{re.escape(name)} (\S+)$", ask(url, "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0


def send(url, number):
    for _ in range(number):
        assert ask(url)[0] == 200


def garbage(port):
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        connection.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        return connection.recv(65536)


def children(pid):
    return {int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()}


def workers(url):
    """The processes of the service that serve: a master's children, but for what these have started."""
    found = set()
    for pid in children(url.pid):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def directory(url):
    """Where the workers count: the master holds it open."""
    for file in Path(f"/proc/{url.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "pixora-counters-" in file.readlink().name:
                return file.readlink()
    raise AssertionError("there is none")


def replace(url, pid):
    """Kill a worker, without warning, and wait for the one that takes its place."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in workers(url) and len(workers(url)) == WORKERS)


@pytest.fixture(scope="module")
def service(gunicorn):
    with gunicorn(WEB_CONCURRENCY=str(WORKERS), GUNICORN_THREADS="4") as url:
        wait_until(lambda: len(workers(url)) == WORKERS)
        yield url


@pytest.fixture(scope="module")
def nginx(service, tmp_path_factory):
    with running_nginx(tmp_path_factory.mktemp("nginx"), port_of(service)) as port:
        yield f"http://127.0.0.1:{port}"


def test_whichever_worker_is_asked_a_scrape_has_the_requests_of_all(service):
    before = counted(service)
    send(service, 60)
    assert {counted(service) - before for _ in range(12)} == {60}


def test_what_a_worker_has_counted_outlives_it(service):
    before = counted(service)
    send(service, 40)
    for pid in workers(service):
        replace(service, pid)
        assert counted(service) - before == 40
    send(service, 40)
    assert {counted(service) - before for _ in range(8)} == {80}


def test_workers_that_come_and_go_leave_no_files(service):
    files = {path.name for path in directory(service).glob("*.db")}
    for pid in workers(service):
        replace(service, pid)
        send(service, 5)
    assert {path.name for path in directory(service).glob("*.db")} == files
    assert {path.suffix for path in directory(service).iterdir()} == {".db"}


def test_a_reload_goes_on_counting(service):
    before = counted(service)
    old = workers(service)
    send(service, 20)
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: len(workers(service)) == WORKERS and not workers(service) & old)
    send(service, 20)
    assert counted(service) - before == 40
    assert len(list(directory(service).glob("histogram_*.db"))) <= 2 * WORKERS  # old and new ones were there together


def test_the_files_are_nobody_else_s_and_in_memory(service):
    path = directory(service)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert path.parent == metric_files.MEMORY


def test_what_cannot_be_read_as_http_is_counted_and_has_its_line(service):
    def count():
        text = ask(service, "/metrics")[1]
        found = re.search(
            r'^pixora_http_request_duration_seconds_count{method="other",route="none",status="400"} (\S+)$',
            text,
            re.MULTILINE,
        )
        return float(found[1]) if found else 0

    before = count()
    assert b" 400 " in garbage(port_of(service))
    assert count() - before == 1
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    [line] = [line for line in lines if line.get("event") == "request" and line["route"] == "none"]
    assert (line["status"], line["level"]) == (400, "WARNING")
    assert len(line["request_id"]) == 32


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x", "//metrics", "/./metrics", "/%6detrics", "/x/../metrics"])
def test_nginx_closes_it_in_every_spelling(nginx, path):
    status, text = ask(nginx, path, X_Forwarded_For="10.0.0.1")
    assert status == 404
    assert "pixora_" not in text


def test_where_nginx_does_not_close_it_a_stranger_still_finds_nothing_whatever_proxy_count_says(service, tmp_path):
    def without_the_rule_and_for_a_stranger(text, address):
        for shipped, other in (
            ("= /metrics", "= /closed"),
            ("X-Forwarded-For $remote_addr", "X-Forwarded-For 8.8.8.8"),
        ):
            assert shipped in text
            text = text.replace(shipped, other)
        return text

    with running_nginx(tmp_path, port_of(service), change=without_the_rule_and_for_a_stranger) as port:
        assert ask(f"http://127.0.0.1:{port}")[0] == 200
        status, text = ask(f"http://127.0.0.1:{port}", "/metrics")
    assert status == 404
    assert "pixora_" not in text


def test_a_master_that_takes_over_goes_on_counting_and_the_last_one_tidies_up(gunicorn):
    with gunicorn(WEB_CONCURRENCY="2") as url:
        path = directory(url)
        send(url, 20)
        try:
            os.kill(url.pid, signal.SIGUSR2)
            wait_until(lambda: len(children(url.pid)) == 3)
            wait_until(lambda: url.log.read_text().count("Booting worker") == 4)
            send(url, 20)
            assert {counted(url) for _ in range(8)} == {40}
            assert len(list(path.glob("histogram_*.db"))) == 4  # none is shared
            os.kill(url.pid, signal.SIGTERM)
            wait_until(lambda: "Shutting down: Master" in url.log.read_text())
            send(url, 20)
            assert {counted(url) for _ in range(4)} == {60}
            assert path.is_dir()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(url.pid, signal.SIGTERM)  # the new one is not our child, but of the same group
            wait_until(lambda: not path.exists())


def test_what_a_master_that_was_killed_has_left_is_removed_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr(metric_files, "MEMORY", tmp_path)
    program = (
        "import os, pathlib; from pixora.observability import metric_files; "
        "metric_files.MEMORY = pathlib.Path('.').resolve(); "
        "made = metric_files.MetricFiles(None, os.getuid(), os.getgid()); "
        "print(made.path, flush=True); os.kill(os.getpid(), 9)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    left = Path(run.stdout.strip())
    assert left.is_dir()
    mine = metric_files.MetricFiles(None, os.getuid(), os.getgid())
    assert not left.exists()
    other = metric_files.MetricFiles(None, os.getuid(), os.getgid())
    assert mine.path.is_dir()
    mine.leave()
    other.leave()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def lone(gunicorn):
    """A service with one worker, whose hashes take a second."""
    with gunicorn(WEB_CONCURRENCY="1", BCRYPT_ROUNDS="14") as url:
        yield url


def test_what_waited_in_a_worker_that_is_killed_waits_no_more(lone):
    def queue():
        return float(re.search(r"^pixora_hashing_queue (\S+)$", ask(lone, "/metrics")[1], re.MULTILINE)[1])

    def log_in_in_vain():
        with contextlib.suppress(OSError, http.client.HTTPException):
            log_in(Client(lone), "x@example.com")

    thread = threading.Thread(target=log_in_in_vain)
    thread.start()
    wait_until(lambda: queue() == 1)
    [worker] = workers(lone)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: workers(lone) - {worker})
    assert queue() == 0
    thread.join()


def test_a_worker_that_cannot_count_serves_all_the_same(lone):
    for file in directory(lone).glob("histogram_*.db"):
        file.unlink()
        file.symlink_to(file.name)  # which leads nowhere
    [worker] = workers(lone)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: "cannot use the shared files" in lone.log.read_text())
    send(lone, 3)
    assert counted(lone) == 3


def test_the_lines_of_the_last_requests_are_written_when_the_service_stops(gunicorn):
    with gunicorn(WEB_CONCURRENCY="2") as url:
        send(url, 50)
    lines = [json.loads(line) for line in url.log.read_text().splitlines()]
    assert sum(line.get("event") == "request" and line["route"] == "/" for line in lines) == 50


def test_without_anyone_to_read_the_logs_the_service_goes_on(mongo_uri, tmp_path):
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PIXORA_ENV": "testing",
        "MONGO_URI": mongo_uri.replace("?", f"_{port}?"),
        "SECRET_KEY": "x" * 40,
        "JWT_SECRET_KEY": "y" * 40,
        "WEB_CONCURRENCY": "1",
        "GUNICORN_THREADS": "4",
    }
    gunicorn = Path(sys.executable).with_name("gunicorn")
    process = subprocess.Popen(
        [gunicorn, "--bind", f"127.0.0.1:{port}", "wsgi:app"], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if ask(url, "/health")[0] == 200:
                    break
            time.sleep(0.1)
        send(url, 400)  # 100 KB of lines: a pipe holds 64
        for _ in range(8):  # twice the threads
            assert b" 400 " in garbage(port)
        text = ask(url, "/metrics")[1]
        assert float(re.search(r"^pixora_log_lines_lost_total (\S+)$", text, re.MULTILINE)[1]) > 10
    finally:
        process.stdout.close()
        process.terminate()
        process.wait(SECONDS)
