"""Throttles across several workers, behind nginx, and when a worker is killed."""

import http.client
import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import bcrypt
import pytest

from tests.factories import PASSWORD, fastapi_user
from tests.system.conftest import running_nginx
from tests.timeouts import LONG

EMAIL = "Grace.Hopper@example.com"
# Windows so long that none ends while a test runs.
LIMITS = {
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "10 per day",
    "THROTTLE_LOGIN_PER_ACCOUNT": "100 per day",
    "THROTTLE_LOGIN_PER_IP": "60 per day",
}


@pytest.fixture
def service(gunicorn, mongo, mongo_uri, request):
    """Run two workers with the default limits and an account of Grace; return the URL, port and database."""
    name = f"throttles_{os.getpid()}_{time.monotonic_ns()}"
    uri = mongo_uri.replace("?", f"_{name}?")
    settings = {"WEB_CONCURRENCY": "2", "GUNICORN_THREADS": "300", "BCRYPT_ROUNDS": "8", "MONGO_URI": uri} | LIMITS
    with gunicorn(**settings | getattr(request, "param", {})) as url:
        database = mongo[f"{mongo.get_default_database().name}_{name}"]
        stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(8)).decode()
        database["users"].insert_one(fastapi_user(password=stored))
        yield url, int(url.rsplit(":", 1)[1]), database
        mongo.drop_database(database.name)


def state(database):
    """Return how much the counters count, and how much is in flight."""
    return {(document["count"], len(document["leases"])) for document in database["throttles"].find()}


def log_in(port, password="wrong", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request("POST", "/api/auth/login", urlencode({"username": EMAIL, "password": password}), headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


def at_once(times, port, *arguments):
    with ThreadPoolExecutor(times) as pool:
        return Counter(status for status, _ in pool.map(lambda _: log_in(port, *arguments), range(times)))


def test_of_200_parallel_wrong_attempts_10_are_checked(service):
    _, port, _ = service
    assert at_once(200, port) == {401: 10, 429: 190}


def test_40_parallel_correct_attempts_all_succeed(service):
    _, port, database = service
    assert at_once(40, port, PASSWORD) == {200: 40}
    assert state(database) == {(0, 0)}


@pytest.mark.parametrize("service", [{"PROXY_COUNT": "1"}], indirect=True)
@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_behind_nginx_a_spoofed_header_does_not_change_the_client(service, header, tmp_path):
    _, upstream, _ = service
    with running_nginx(tmp_path, upstream) as port:
        statuses = [
            log_in(port, **{header: f"{'for=' if header == 'Forwarded' else ''}203.0.113.{number}"})[0]
            for number in range(11)
        ]
    assert statuses == [401] * 10 + [429]


ONE_AT_A_TIME = {
    "WEB_CONCURRENCY": "1",
    "HASH_QUEUE_SECONDS": "1",
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "1 per day",
}


@pytest.mark.parametrize("service", [ONE_AT_A_TIME], indirect=True)
def test_the_attempt_of_a_killed_worker_is_in_flight_until_its_lease_expires(service):
    url, port, database = service
    # A hash that takes some seconds to check.
    database["users"].update_one({}, {"$set": {"password": "$2b$16$" + "a" * 21 + "e" + "b" * 31}})
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(log_in, port)
        deadline = time.monotonic() + LONG
        while state(database) != {(0, 1)}:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        [worker] = Path(f"/proc/{url.pid}/task/{url.pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, OSError)):
            attempt.result()
    assert state(database) == {(0, 1)}
    database["users"].update_one({}, {"$set": {"password": fastapi_user()["password"]}})
    deadline = time.monotonic() + LONG
    while True:  # gunicorn starts another worker, and the owner waits until the lease expires
        try:
            assert log_in(port, PASSWORD)[0] == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert state(database) == {(0, 0)}
