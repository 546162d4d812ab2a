"""Throttles across several workers, behind nginx, and when a worker is killed."""

import http.client
import itertools
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest

from tests.factories import PASSWORD, fastapi_user, log_in
from tests.system.client import Client
from tests.system.conftest import running_nginx
from tests.timeouts import LONG

EMAIL = "Grace.Hopper@example.com"
# Windows so long that none ends while a test runs.
LIMITS = {
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "10 per day",
    "THROTTLE_LOGIN_PER_ACCOUNT": "100 per day",
    "THROTTLE_LOGIN_PER_IP": "60 per day",
}


@pytest.fixture(scope="module")
def running(gunicorn, mongo, mongo_uri, request):
    """Run two workers with the default limits; return the URL and database."""
    name = f"throttles_{os.getpid()}_{time.monotonic_ns()}"
    uri = mongo_uri.replace("?", f"_{name}?")
    settings = {"WEB_CONCURRENCY": "2", "GUNICORN_THREADS": "300", "BCRYPT_ROUNDS": "8", "MONGO_URI": uri}
    settings |= {"DATABASE_TIMEOUT_MS": "30000", **LIMITS}  # 200 clients at once are slow on a busy machine
    with gunicorn(**settings | getattr(request, "param", {})) as url:
        database = mongo[f"{mongo.get_default_database().name}_{name}"]
        yield url, database
        mongo.drop_database(database.name)


IPS = (f"127.0.0.{number}" for number in itertools.count(2))
"""One for each test: a worker remembers for a second which limits are spent."""


@pytest.fixture
def ip():
    return next(IPS)


@pytest.fixture
def service(running):
    """Return the same, with an account of Grace and nothing counted."""
    _, database = running
    database["throttles"].delete_many({})
    database["users"].delete_many({})
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(8)).decode()
    database["users"].insert_one(fastapi_user(password=stored))
    return running


def state(database):
    """Return how much the counters count, and how much is in flight."""
    return {(document["count"], len(document["leases"])) for document in database["throttles"].find()}


def attempt(client, password="wrong", **headers):
    return log_in(client, EMAIL, password, headers=headers).status_code


def at_once(times, client, password="wrong"):
    with ThreadPoolExecutor(times) as pool:
        return Counter(pool.map(lambda _: attempt(client, password), range(times)))


def test_of_200_parallel_wrong_attempts_10_are_checked(service, ip):
    url, _ = service
    assert at_once(200, Client(url, ip)) == {401: 10, 429: 190}


def test_40_parallel_correct_attempts_all_succeed(service, ip):
    url, database = service
    assert at_once(40, Client(url, ip), PASSWORD) == {200: 40}
    assert state(database) == {(0, 0)}


@pytest.mark.parametrize("running", [{"PROXY_COUNT": "1"}], indirect=True)
@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_behind_nginx_a_spoofed_header_does_not_change_the_client(service, header, ip, tmp_path):
    url, _ = service
    with running_nginx(tmp_path, urlsplit(url).port) as port:
        client = Client(f"http://127.0.0.1:{port}", ip)
        statuses = [
            attempt(client, **{header: f"{'for=' if header == 'Forwarded' else ''}203.0.113.{number}"})
            for number in range(11)
        ]
    assert statuses == [401] * 10 + [429]


ONE_AT_A_TIME = {
    "WEB_CONCURRENCY": "1",
    "HASH_QUEUE_SECONDS": "1",
    "DATABASE_TIMEOUT_MS": "3000",  # part of the lease, which must end before the owner stops waiting
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "1 per day",
}


@pytest.mark.parametrize("running", [ONE_AT_A_TIME], indirect=True)
def test_the_attempt_of_a_killed_worker_is_in_flight_until_its_lease_expires(service):
    url, database = service
    client = Client(url)
    # A hash that takes some seconds to check.
    database["users"].update_one({}, {"$set": {"password": "$2b$16$" + "a" * 21 + "e" + "b" * 31}})
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(attempt, client)
        deadline = time.monotonic() + LONG
        while state(database) != {(0, 1)}:
            assert time.monotonic() < deadline
            if lost.done():  # refused with 503, as the machine is busy
                lost = pool.submit(attempt, client)
            time.sleep(0.02)
        [worker] = Path(f"/proc/{url.pid}/task/{url.pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, OSError)):
            lost.result()
    assert state(database) == {(0, 1)}
    database["users"].update_one({}, {"$set": {"password": fastapi_user()["password"]}})
    deadline = time.monotonic() + LONG
    while True:  # gunicorn starts another worker, and the owner waits until the lease expires
        try:
            assert attempt(client, PASSWORD) == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert state(database) == {(0, 0)}
