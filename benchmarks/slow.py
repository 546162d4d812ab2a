"""Slow clients: silent ones, ones that stop midway, idle connections, and dripping ones, beside ordinary requests.

Each slow client has its own IP address and goes on until the others are done. Meanwhile, ordinary requests on new
connections are timed one after the other; a request without an answer in time counts as the time limit. Measured
without a proxy and through the shipped nginx.
"""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import bcrypt

from benchmarks.figures import spread, table
from benchmarks.load import log_in
from benchmarks.servers import FASTAPI_MOTOR, PIXORA, PIXORA_GTHREAD, Bench, seed, started
from tests.factories import PASSWORD
from tests.system.conftest import running_nginx

IDLE, HALF_SENT, KEPT_ALIVE, DRIPPING = 200, 200, 100, 40
REQUESTS = 20
WAIT_SECONDS = 5
DRIP_SECONDS = 0.2
ROUNDS = 3
GIVE_UP = 3
"""After this number of requests without an answer, the rest counts as unanswered as well."""

HEAD = b"POST /api/auth/login HTTP/1.1\r\nHost: pixora\r\nX-Slow: "
WHOLE = b"GET /health/live HTTP/1.1\r\nHost: pixora\r\n\r\n"


def run(bench: Bench) -> dict[str, Any]:
    """Return for each service, alone and behind nginx, the longest time to an answer, by round."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    result: dict[str, Any] = {}
    for at, service in enumerate((PIXORA, PIXORA_GTHREAD, FASTAPI_MOTOR)):
        database = f"slow_{at}"
        [email] = seed(bench, service, database, 1, hashed)
        with ExitStack() as stack:
            server = stack.enter_context(started(bench, service, database, BCRYPT_ROUNDS="4", PROXY_COUNT="1"))
            token = log_in(server, email)
            ports = {"": server.port, " behind nginx": stack.enter_context(running_nginx(bench.folder, server.port))}
            for where, port in ports.items():
                found = result[service.name + where] = {"longest": [], "unanswered": []}
                for _ in range(ROUNDS):
                    with _slow_clients(port):
                        times = list(_times(port, token))
                    found["longest"].append(max(times))
                    found["unanswered"].append(sum(seconds >= WAIT_SECONDS for seconds in times))
    return result


@contextmanager
def _slow_clients(port: int) -> Iterator[None]:
    over = threading.Event()
    with ExitStack() as stack:
        clients = [_connect(stack, port, number) for number in range(IDLE + HALF_SENT + KEPT_ALIVE + DRIPPING)]
        for client in clients[IDLE:]:
            client.sendall(HEAD)
        for client in clients[IDLE + HALF_SENT : IDLE + HALF_SENT + KEPT_ALIVE]:
            client.sendall(b"x\r\n\r\n" + WHOLE)
        dripping = threading.Thread(target=_drip, args=(clients[-DRIPPING:], over))
        dripping.start()
        time.sleep(0.5)
        try:
            yield
        finally:
            over.set()
            dripping.join()


def _connect(stack: ExitStack, port: int, number: int) -> socket.socket:
    # All of 127.0.0.0/8 is this machine.
    address = f"127.2.{number // 250}.{number % 250 + 1}", 0
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), 30, address))


def _drip(clients: list[socket.socket], over: threading.Event) -> None:
    while not over.wait(DRIP_SECONDS):
        for client in clients:
            try:
                client.sendall(b"x")
            except OSError:
                continue  # the server has closed the connection


def _times(port: int, token: str) -> Iterator[float]:
    unanswered = 0
    for _ in range(REQUESTS):
        if unanswered == GIVE_UP:
            yield WAIT_SECONDS
            continue
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        try:
            connection.request("GET", "/api/users/me", headers={"Authorization": f"Bearer {token}"})
            if connection.getresponse().status != 200:
                raise RuntimeError("the ordinary request is not answered as it should be")
            yield time.monotonic() - began
        except OSError:
            unanswered += 1
            yield WAIT_SECONDS
        finally:
            connection.close()


def report(result: dict[str, Any]) -> str:
    """Return the table."""
    rows = [
        [
            name,
            spread(found["longest"], lambda seconds: f"{seconds * 1000:.0f} ms"),
            f"{sum(found['unanswered'])} of {REQUESTS * ROUNDS}",
        ]
        for name, found in result.items()
    ]
    head = [f"beside {IDLE + HALF_SENT + KEPT_ALIVE + DRIPPING} slow clients", "longest answer", "none in 5 s"]
    ours = max(
        max(found["longest"]) for name, found in result.items() if name.removesuffix(" behind nginx") == "Pixora"
    )
    return f"{table(head, rows)}\n\nPixora: longest answer {ours:.2f} s."
