"""Clients that are slow, gone, or too many: each gets a clear answer or is cut off, and nothing is lost by it."""

import contextlib
import os
import resource
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pixora.server.connection import BODY_PAUSE_SECONDS, DRAIN_SECONDS, HEAD_SECONDS
from tests.server.client import GOOD, SECONDS, Client
from tests.timeouts import wait_until

THREADS = 8
CROWD = 2_500
MOST = 500

STOPS = {
    "in the method": b"GE",
    "after the line": b"GET / HTTP/1.1\r\n",
    "in a name": b"GET / HTTP/1.1\r\nHo",
    "in a value": b"GET / HTTP/1.1\r\nHost: x",
    "before the end of the head": b"GET / HTTP/1.1\r\nHost: x\r\n\r",
    "before the body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
    "in the body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc",
    "in the size of a chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1",
    "in a chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "after a chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na",
    "in the trailer": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b",
}


@pytest.fixture
def service(gunicorn):
    """Start gunicorn with some settings; the port and the process id of its one worker."""

    @contextlib.contextmanager
    def start(**settings):
        with gunicorn(application="tests.server.application:app", GUNICORN_THREADS=str(THREADS), **settings) as url:
            [worker] = Path(f"/proc/{url.pid}/task/{url.pid}/children").read_text().split()
            yield urlsplit(url).port, int(worker)

    return start


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CROWD + 2_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors(worker):
    return len(os.listdir(f"/proc/{worker}/fd"))  # noqa: PTH208  # a Path for each makes it many times as dear


def settled(worker):
    """Return how many descriptors there are when nobody is connected."""
    ask_again = time.monotonic() + 1
    least = descriptors(worker)
    while time.monotonic() < ask_again:
        least = min(least, descriptors(worker))
        time.sleep(0.05)
    return least


def threads(worker):
    return len(list(Path(f"/proc/{worker}/task").iterdir()))


def ask(port, request=GOOD):
    with Client(port) as client:
        client.send(request)
        return client.answer()


def test_clients_that_stop_midway_are_told_so_and_cost_nothing(service):
    with service() as (port, worker):
        ask(port)
        before = settled(worker)
        with contextlib.ExitStack() as stack:
            began = time.monotonic()
            clients = {name: stack.enter_context(Client(port)) for name in STOPS}
            silent = stack.enter_context(Client(port))
            for name, client in clients.items():
                client.send(STOPS[name])
            for _ in range(2 * THREADS):
                assert ask(port).status == 200
            answers = {name: client.answer() for name, client in clients.items()}
            assert silent.rest() == b""
            assert time.monotonic() - began > min(HEAD_SECONDS, BODY_PAUSE_SECONDS)
            assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(STOPS, 408)
            assert {answer.json["code"] for answer in answers.values()} == {"request_timeout"}
            assert {client.rest() for client in clients.values()} == {b""}
        wait_until(lambda: descriptors(worker) <= before)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_clients_that_leave_midway_cost_nothing(service, how):
    with service() as (port, worker):
        ask(port)
        before = settled(worker)
        whole = [GOOD, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /sleep?seconds=0.2 HTTP/1.1\r\nHost: x\r\n\r\n"]
        for sent in [*STOPS.values(), *whole, b"\x16\x03", b""] * 5:
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(sent)
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        wait_until(lambda: descriptors(worker) <= before)
        assert [ask(port).status for _ in range(2 * THREADS)] == [200] * 2 * THREADS
        assert int(ask(port, b"GET /threads HTTP/1.1\r\nHost: x\r\n\r\n").body) <= THREADS + 4


def test_clients_that_drip_keep_nobody_waiting(service):
    """Four times as many as there are threads, in every state in which a client may have left a connection."""
    drip = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nA: b\r\n\r\n" + b"a" * 20
    with service() as (port, _), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(8 * THREADS)]
        for position in range(len(drip)):
            for client in clients:
                client.send(drip[position : position + 1])
            if position % 10 == 0:
                assert ask(port).status == 200


def test_clients_that_do_not_read_keep_nobody_waiting(service):
    with service() as (port, worker), contextlib.ExitStack() as stack:
        ask(port)
        before = settled(worker)
        clients = [stack.enter_context(Client(port)) for _ in range(4 * THREADS)]
        for client in clients:
            client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(2 * THREADS):
            assert ask(port).status == 200
        assert descriptors(worker) >= before + len(clients)
        wait_until(lambda: descriptors(worker) <= before)  # they are given up


def test_a_refused_client_may_go_on_to_send_and_still_reads_why(service):
    with service() as (port, worker), Client(port) as client:
        ask(port)
        before = settled(worker)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"a" * 900_000)
        assert client.answer().status == 413
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() < began + SECONDS:
                client.socket.sendall(b"a")
                time.sleep(0.05)
        assert time.monotonic() - began < SECONDS / 2 + DRAIN_SECONDS
        wait_until(lambda: descriptors(worker) < before)


def test_more_clients_than_there_is_room_for_are_served_in_turn(service, many_files):
    """All of them connect; those that say nothing make room, and an ordinary request among them is answered."""
    settings = {"GUNICORN_CMD_ARGS": f"--worker-connections {MOST}"}
    with service(**settings) as (port, worker):
        ask(port)
        before = settled(worker)
        crowd = []
        try:
            for _ in range(CROWD):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
                crowd.append(client)
                assert descriptors(worker) <= before + MOST + 8
            assert ask(port).status == 200
        finally:
            for client in crowd:
                client.close()
        wait_until(lambda: descriptors(worker) <= before)
        assert threads(worker) <= THREADS + 5
        assert ask(port).status == 200


def test_a_worker_without_file_descriptors_goes_on_when_there_are_some(service):
    with service() as (port, worker), contextlib.ExitStack() as stack:
        ask(port)
        soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (descriptors(worker) + 3, hard))
        for _ in range(10):
            stack.enter_context(Client(port))
        time.sleep(1)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
        assert ask(port).status == 200
