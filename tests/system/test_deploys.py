"""Reloads, recycled workers, restarts and slow clients, on real gunicorn behind real nginx: what the others notice.

What was measured is printed: `pytest -s tests/system/test_deploys.py`.
"""

import contextlib
import http.client
import itertools
import json
import os
import re
import secrets
import select
import signal
import socket
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pymongo
import pytest
from mongod import free_port

from pixora.server.worker import STOP_LINGER_SECONDS
from tests import ROOT
from tests.factories import PASSWORD, signup_body
from tests.system.conftest import running_nginx
from tests.timeouts import SOON, wait_until

ENOUGH_REQUESTS = 600
RELOADS = 3
CLIENTS, FEW_CLIENTS = 20, 6
ROUNDS_FROM_ONE_ADDRESS = 20
"""Two requests of a round are for the routes of which nginx grants an address some 50 in one go."""

SECONDS = 120
"""Whatever has not come about by then never does."""

AWAY = 502
"""What nginx answers while there is no gunicorn."""

SLOW_CLIENTS = 400
# Hashing has low priority: on a busy machine 2 seconds would be too few, and "overloaded" the right answer.
SETTINGS = {"WEB_CONCURRENCY": "2", "GUNICORN_THREADS": "64", "PROXY_COUNT": "1", "HASH_QUEUE_SECONDS": "20"}
FORM = "application/x-www-form-urlencoded"
NUMBERS = itertools.count()


class Failure(NamedTuple):
    """A request that was not answered as it should be; `status` is None where there was no answer."""

    email: str
    path: str
    status: int | None
    what: str


class Load:
    """Clients on kept-alive connections that sign up, log in, refresh and read until the `with` block ends.

    Nothing is tried twice: whatever is not answered as it should be is in `failures`.
    """

    def __init__(self, port, clients=CLIENTS):
        self.signed_up = []
        self.failures = []
        self.slowest = 0.0
        self._port = port
        self._counts = [0] * clients
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=[number]) for number in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __str__(self):
        return f"{self.requests} requests, {len(self.failures)} failed, the slowest took {self.slowest:.2f} s"

    @property
    def requests(self):
        return sum(self._counts)

    def wait_for(self, requests):
        wait_until(lambda: self.requests >= requests, lambda: str(self))

    def _client(self, client):
        while not self._stop.is_set():
            with contextlib.closing(connect(self._port, an_address())) as connection:
                for _ in range(ROUNDS_FROM_ONE_ADDRESS):
                    if self._stop.is_set():
                        break
                    self._round(client, connection)

    def _round(self, client, connection):
        """Live the first minutes of a new user; give up at the first failure."""
        email = f"user{next(NUMBERS)}@example.com"

        def call(path, expected=200, **what):
            self._counts[client] += 1
            started = time.monotonic()
            answer = None
            try:
                answer = ask(connection, path, **what)
                assert answer.status == expected
            except (OSError, http.client.HTTPException, AssertionError) as error:
                connection.close()
                self.failures.append(Failure(email, path, answer and answer.status, repr(answer or error)))
                raise GivenUp from None
            self.slowest = max(self.slowest, time.monotonic() - started)
            return answer.json

        try:
            call("/api/auth/signup", 201, json=signup_body(email=email))
            self.signed_up.append(email)
            tokens = call("/api/auth/login", form={"username": email, "password": PASSWORD})
            for _ in range(4):
                form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
                tokens = call("/api/auth/refresh", form=form)
                for _ in range(3):
                    me = call("/api/users/me", token=tokens["access_token"])
                    assert me["email"] == email
        except GivenUp:
            self._stop.wait(0.1)


class GivenUp(Exception):  # not an error of ours
    """A client's request has failed."""


class Answer:
    """A response, read to its end."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    def __repr__(self):
        return f"<{self.status} {self.text}>"

    @property
    def json(self):
        return json.loads(self.text)


def ask(connection, path, *, form=None, token=None, **body):
    """Make a request: a POST of a form or of `json`, or else a GET."""
    headers, content = {}, None
    if form is not None:
        headers["Content-Type"], content = FORM, urllib.parse.urlencode(form)
    if body:
        headers["Content-Type"], content = "application/json", json.dumps(body["json"])
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection.request("GET" if content is None else "POST", path, content, headers)
    return Answer(connection.getresponse())


def connect(port, address="127.0.0.1"):
    return http.client.HTTPConnection("127.0.0.1", port, SECONDS, (address, 0))


def an_address():
    """Return an address of this machine that nginx has not seen yet."""
    number = next(NUMBERS)
    return f"127.{100 + number // 62_500 % 100}.{number // 250 % 250}.{number % 250 + 1}"


def printed(url, pattern):
    """Return what of gunicorn's output so far matches."""
    return re.findall(pattern, url.log.read_text())


def started(url):
    return printed(url, r"Booting worker with pid: (\d+)")


def ended(url):
    return printed(url, r"Worker exiting \(pid: (\d+)\)")


def queue(url):
    """Return how many logins gunicorn's workers hash or have waiting."""
    with contextlib.closing(connect(port_of(url))) as connection:
        return float(re.search(r"^pixora_hashing_queue (\S+)$", ask(connection, "/metrics").text, re.MULTILINE)[1])


def port_of(url):
    return urllib.parse.urlsplit(url).port


@pytest.fixture
def service(gunicorn, tmp_path):
    """Start gunicorn, two workers with the threads of a real one, and nginx in front; a pair of them."""

    @contextlib.contextmanager
    def start(**environment):
        with gunicorn(**SETTINGS | environment) as url, running_nginx(tmp_path, port_of(url)) as nginx:
            yield url, nginx

    return start


def test_reloads_under_load_lose_no_request(service):
    with service() as (url, nginx), Load(nginx) as load:
        for reload in range(1, RELOADS + 1):
            load.wait_for(ENOUGH_REQUESTS * reload // (RELOADS + 1))
            old = set(started(url)) - set(ended(url))
            os.kill(url.pid, signal.SIGHUP)
            wait_until(lambda old=old: old <= set(ended(url)), lambda: str(load))
        load.wait_for(ENOUGH_REQUESTS)
    print(f"\n{RELOADS} reloads: {load}")  # noqa: T201  # for whoever asks with -s
    assert load.failures == []


def test_nginx_lets_go_of_an_idle_connection_before_a_stopping_worker_does():
    [seconds] = re.findall(
        r"keepalive 32;.*?keepalive_timeout (\d+)s;", (ROOT / "deploy/nginx.conf").read_text(), re.DOTALL
    )
    assert int(seconds) <= STOP_LINGER_SECONDS / 2


def test_a_post_sent_when_a_worker_lets_go_of_its_connections_is_not_lost(service):
    """nginx must not send a POST twice, so it must never send one on a connection that gunicorn is closing."""
    with service() as (url, nginx), contextlib.ExitStack() as stack, ThreadPoolExecutor(60) as pool:
        connections = [stack.enter_context(contextlib.closing(connect(nginx))) for _ in range(60)]
        barrier = threading.Barrier(len(connections))

        def post(connection, delay):
            barrier.wait()
            time.sleep(delay)
            return ask(connection, "/api/auth/refresh", form={"refresh_token": "none"}).status

        statuses = []
        for _ in range(2):
            for _ in range(3):  # now nginx keeps connections to both workers
                list(pool.map(post, connections, itertools.repeat(0)))
            workers = len(started(url))
            os.kill(url.pid, signal.SIGHUP)
            wait_until(lambda workers=workers: len(started(url)) == workers + 2)
            delays = [STOP_LINGER_SECONDS + milliseconds / 1000 for milliseconds in range(-30, 30)]
            statuses += pool.map(post, connections, delays)
    print(f"\n{len(statuses)} at the edge, {len(statuses) - statuses.count(422)} lost")  # noqa: T201  # for whoever asks with -s
    assert set(statuses) == {422}


def test_recycled_workers_lose_no_request(service):
    with service(GUNICORN_CMD_ARGS="--max-requests 60 --max-requests-jitter 30") as (url, nginx):
        with Load(nginx) as load:
            load.wait_for(ENOUGH_REQUESTS)
        recycled = len(printed(url, "Autorestarting worker"))
    print(f"\n{recycled} workers recycled: {load}")  # noqa: T201  # for whoever asks with -s
    assert load.failures == []
    assert recycled >= 6


def test_another_gunicorn_takes_over_the_port_and_no_request_is_lost(service):
    with service() as (url, nginx):
        try:
            with Load(nginx, FEW_CLIENTS) as load:
                load.wait_for(200)
                workers = started(url)
                os.kill(url.pid, signal.SIGUSR2)
                wait_until(lambda: len(started(url)) == 4)
                os.kill(url.pid, signal.SIGTERM)
                wait_until(lambda: set(workers) <= set(ended(url)))
                load.wait_for(load.requests + 100)
            masters = printed(url, r"Listening at: \S+ \((\d+)\)")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(url.pid, signal.SIGTERM)  # the new one is not our child, but of the same group
            wait_until(lambda: not listens(port_of(url)))
    print(f"\ntaken over: {load}")  # noqa: T201  # for whoever asks with -s
    assert load.failures == []
    assert len(masters) == 2


def test_two_gunicorns_restarted_in_turn_lose_no_request(gunicorn, mongo_uri, tmp_path):
    ports = free_port(), free_port()
    settings = SETTINGS | {
        "MONGO_URI": mongo_uri.replace("?", f"_{ports[0]}?"),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "WEB_CONCURRENCY": "1",
    }
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second, running_nginx(tmp_path, *ports) as nginx:
        for stack, port in ((first, ports[0]), (second, ports[1])):
            stack.enter_context(gunicorn(port, **settings))
        with Load(nginx, FEW_CLIENTS) as load:
            for stack, port in ((first, ports[0]), (second, ports[1])):
                load.wait_for(load.requests + 100)
                stack.close()
                load.wait_for(load.requests + 100)
                stack.enter_context(gunicorn(port, **settings))
            load.wait_for(load.requests + 100)
    print(f"\nrestarted in turn: {load}")  # noqa: T201  # for whoever asks with -s
    assert load.failures == []


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_what_a_restart_under_load_does_not_serve_it_has_not_done_either(service, gunicorn, mongo_uri):
    """Every answer is the right one or 502, which asks to come again; and what met 502 has had no effect."""
    uri = mongo_uri.replace("?", f"_{secrets.token_hex(4)}?")
    with service(MONGO_URI=uri) as (url, nginx), Load(nginx, FEW_CLIENTS) as load:
        load.wait_for(200)
        os.kill(url.pid, signal.SIGTERM)
        wait_until(lambda: len(ended(url)) == 2)
        with gunicorn(port_of(url), **SETTINGS | {"MONGO_URI": uri}):
            again = len(load.signed_up)
            wait_until(lambda: len(load.signed_up) > again + 20)
            load.stop()
    print(f"\nrestarted: {load}")  # noqa: T201  # for whoever asks with -s
    assert {failure.status for failure in load.failures} <= {AWAY}, load.failures
    with pymongo.MongoClient(uri) as client:
        stored = {user["email"] for user in client.get_default_database().users.find({}, {"email": 1})}
    assert stored == set(load.signed_up)


def test_a_restart_answers_what_it_has_begun_and_sends_others_away_at_once(service):
    with service(BCRYPT_ROUNDS="14") as (url, nginx), ThreadPoolExecutor(3) as pool:
        with contextlib.closing(connect(nginx)) as connection:
            assert ask(connection, "/api/auth/signup", json=signup_body()).status == 201

        def log_in(address):
            with contextlib.closing(connect(nginx, address)) as connection:
                answer = ask(connection, "/api/auth/login", form={"username": "ada@example.com", "password": PASSWORD})
                return answer, time.monotonic()

        logins = [pool.submit(log_in, an_address()) for _ in range(3)]
        # Now they are at gunicorn, where each takes a second of CPU.
        wait_until(lambda: sum(login.done() for login in logins) + queue(url) >= len(logins))
        os.kill(url.pid, signal.SIGTERM)
        wait_until(lambda: not listens(port_of(url)))
        # The connection that nginx has kept still serves, for a second at most.
        while (refused := read_once(nginx)).status != AWAY:
            assert refused.status == 401
        refused_at = time.monotonic()
        answers = [login.result() for login in logins]

        assert max(answered_at for _, answered_at in answers) > refused_at
        assert [answer.status for answer, _ in answers] == [200] * 3
        assert all(answer.json["access_token"] for answer, _ in answers)
        assert refused.json["code"] == "bad_gateway"
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.headers["Retry-After"] == "5"


def read_once(nginx):
    with contextlib.closing(connect(nginx)) as connection:
        return ask(connection, "/api/users/me")


def test_hundreds_of_slow_clients_hold_up_nobody(service):
    with service() as (_, nginx), contextlib.ExitStack() as stack:
        with contextlib.closing(connect(nginx)) as connection:
            assert ask(connection, "/api/auth/signup", json=signup_body()).status == 201
        slow = []
        for number in range(SLOW_CLIENTS):
            client = socket.create_connection(("127.0.0.1", nginx), SECONDS, (an_address(), 0))
            slow.append(stack.enter_context(client))
            client.sendall(SLOW_BODY if number % 2 else SLOW_HEADER)
        durations = []
        for drop in (b"a", b"b", b"c"):
            for client in slow:
                client.sendall(drop)
            for _ in range(5):
                durations += take_all_steps(nginx)
        assert len(held_open(slow)) == SLOW_CLIENTS
    print(f"\n{SLOW_CLIENTS} slow clients: of {len(durations)} other requests the slowest took {max(durations):.2f} s")  # noqa: T201  # for whoever asks with -s
    assert max(durations) < SOON


SLOW_HEADER = b"POST /api/auth/login HTTP/1.1\r\nHost: pixora\r\nX-Slow: "
SLOW_BODY = (
    f"POST /api/auth/login HTTP/1.1\r\nHost: pixora\r\nContent-Type: {FORM}\r\nContent-Length: 999\r\n\r\nu".encode()
)


def take_all_steps(port):
    """Log in and read the profile, as a new client; return how long each request took."""
    durations = []

    def timed(*what, **body):
        started = time.monotonic()
        answer = ask(*what, **body)
        durations.append(time.monotonic() - started)
        assert answer.status == 200
        return answer.json

    with contextlib.closing(connect(port, an_address())) as connection:
        form = {"username": "ada@example.com", "password": PASSWORD}
        token = timed(connection, "/api/auth/login", form=form)["access_token"]
        for _ in range(5):
            timed(connection, "/api/users/me", token=token)
    return durations


def held_open(clients):
    """Return those clients that have had no answer and have not been cut off."""
    return [client for client in clients if not select.select([client], [], [], 0)[0]]
