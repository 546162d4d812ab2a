"""How connections are spread over workers."""

import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.server.client import Client
from tests.timeouts import wait_until

LISTENS, IS_OVER = "0A", "06"
"""States of a socket in /proc/net/tcp: LISTEN and TIME_WAIT."""


@pytest.fixture(scope="module")
def pair(gunicorn):
    with gunicorn(application="tests.server.application:app", WEB_CONCURRENCY="2") as url:
        answered = set()

        def have_both_answered():
            with Client(urlsplit(url).port) as client:
                client.send(b"GET /process HTTP/1.1\r\nHost: x\r\n\r\n")
                answered.add(client.answer().body)
            return len(answered) == 2

        wait_until(have_both_answered)
        yield url


def descriptors(worker):
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


def are_all_closed(port):
    """Whether the server has closed all connections: until then, those of earlier clients would be counted as well."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    states = {state for _, local, _, state, *_ in sockets if local.endswith(f":{port:04X}")}
    return states <= {LISTENS, IS_OVER}


def spread(url, number):
    """Open so many connections, a request on each; return how many each worker has."""
    port = urlsplit(url).port
    wait_until(lambda: are_all_closed(port))
    workers = Path(f"/proc/{url.pid}/task/{url.pid}/children").read_text().split()
    before = {worker: descriptors(worker) for worker in workers}
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(number)]
        for client in clients:
            assert client.is_open()
        return {worker: descriptors(worker) - before[worker] for worker in workers}


@pytest.mark.parametrize("number", [8, 64])
def test_connections_are_spread_evenly_over_the_workers(pair, number):
    for _ in range(3):
        counts = spread(pair, number)
        assert sum(counts.values()) == number
        assert min(counts.values()) >= number * 3 // 8, counts
