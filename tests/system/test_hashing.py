"""Hashing under gunicorn: a frozen worker, and clients that close their sending side."""

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from urllib.parse import urlencode

import pytest

from pixora.passwords import cores
from tests.factories import PASSWORD, signup_body

FORM = urlencode({"username": "ada@example.com", "password": PASSWORD})
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
STORM = 8 * cores.count()
"""Parallel logins."""


def call(url, path, body=None, media_type=HEADERS["Content-Type"], timeout=30):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)
    with contextlib.closing(connection):
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": media_type})
        return connection.getresponse().status


@pytest.fixture
def service(gunicorn):
    """Run two workers whose hashes take a quarter of a second, under a gunicorn that does not end a frozen worker."""
    options = {
        "BCRYPT_ROUNDS": "12",
        "GUNICORN_THREADS": str(STORM + 8),
        "GUNICORN_CMD_ARGS": "--timeout 600",
    }
    with gunicorn(WEB_CONCURRENCY="2", **options) as url:
        assert call(url, "/api/auth/signup", json.dumps(signup_body()), "application/json") == 201
        yield url


def test_logins_succeed_beside_a_frozen_worker(service):
    with ThreadPoolExecutor(STORM) as pool:
        storm = [pool.submit(log_in_eventually, service) for _ in range(STORM)]
        next(as_completed(storm)).result()  # now both workers hold or await each core lock
        worker = int(Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()[0])
        os.kill(worker, signal.SIGSTOP)
        try:
            # Logins are refused until stand-ins replace the frozen cores.
            assert [log_in_eventually(service) for _ in range(5)] == [200] * 5
        finally:
            os.kill(worker, signal.SIGCONT)
        assert {login.result() for login in storm} == {200}
    assert call(service, "/api/auth/login", FORM) == 200


def log_in_eventually(url):
    deadline = time.monotonic() + 120
    while (status := call(url, "/api/auth/login", FORM, timeout=60)) == 503 and time.monotonic() < deadline:
        time.sleep(0.5)
    return status


def test_a_client_that_closes_its_sending_side_logs_in(service):
    host, port = service.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        connection.sendall(
            f"POST /api/auth/login HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(FORM)}\r\n\r\n{FORM}".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
