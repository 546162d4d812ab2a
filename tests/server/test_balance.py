"""How connections are spread over workers."""

import contextlib
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.server.client import Client


@pytest.fixture(scope="module")
def pair(gunicorn):
    with gunicorn(application="tests.server.application:app", WEB_CONCURRENCY="2") as url:
        deadline = time.monotonic() + 60
        while url.log.read_text().count("Booting worker") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(3)  # until both have loaded the application
        yield url


def descriptors(worker):
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


def spread(url, number):
    """Open so many connections, a request on each; return how many each worker has."""
    workers = Path(f"/proc/{url.pid}/task/{url.pid}/children").read_text().split()
    before = {worker: descriptors(worker) for worker in workers}
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(urlsplit(url).port)) for _ in range(number)]
        for client in clients:
            assert client.is_open()
        return {worker: descriptors(worker) - before[worker] for worker in workers}


@pytest.mark.parametrize("number", [8, 64])
def test_connections_are_spread_evenly_over_the_workers(pair, number):
    for _ in range(3):
        counts = spread(pair, number)
        assert sum(counts.values()) == number
        assert min(counts.values()) >= number * 3 // 8, counts
        time.sleep(0.5)  # until they are closed
