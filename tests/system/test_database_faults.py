"""A replica set that loses its primary, hears nothing from it, or is gone, under load: what clients see of it.

What was measured is printed: `pytest -s tests/system/test_database_faults.py`.
"""

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pymongo
import pytest
from cryptography.fernet import Fernet

from tests.factories import PASSWORD, signup_body
from tests.replica_set import ReplicaSet
from tests.system.client import Client
from tests.system.test_metrics import children
from tests.system.test_second_factor import by_pyotp, challenge, enrol, send_code
from tests.timeouts import LONG, SOON, wait_until

DEADLINE = 3.0
"""DATABASE_TIMEOUT_MS by default."""

OUTAGE_SECONDS = 60
"""Measured are 3, with an election time-out of 2; this machine may be busy."""

HANG_SECONDS = 90
"""Measured are about 6; now and then it is longer, 14 once, also without us: a plain client of the same set found no
majority for 9 seconds. Perhaps the other secondary goes on copying from the member that hangs; that is not proven."""

HEALTH_SECONDS = 60
FORM = "application/x-www-form-urlencoded"


class Call(NamedTuple):
    """A request as a client saw it; `started` and `ended` by the monotonic clock."""

    name: str
    email: str
    started: float
    ended: float
    status: int
    retry_after: str | None
    body: dict

    @property
    def duration(self):
        return self.ended - self.started


class Load:
    """A few clients that sign up, log in and read their profiles until the `with` block ends, in `calls`."""

    addresses = itertools.count()

    def __init__(self, url, clients=5):
        self.calls = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=[number]) for number in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def of(self, name, status=None):
        return [call for call in list(self.calls) if call.name == name and status in (None, call.status)]

    def wait_for(self, condition, seconds=LONG):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.summary()
            time.sleep(0.05)

    def wait_for_sign_ups(self, number, after=0.0):
        self.wait_for(lambda: sum(call.started > after for call in self.of("signup", 201)) >= number)

    def summary(self):
        counts = sorted({(call.name, call.status) for call in self.calls})
        return {f"{name} {status}": len(self.of(name, status)) for name, status in counts}

    def _client(self, number):
        while not self._stop.wait(0.05):
            email = f"user{next(self.addresses)}@example.com"
            signup = call(self._url, "signup", "/api/auth/signup", json=signup_body(email=email))
            self.calls.append(signup)
            if number == 0 and signup.status == 201:  # one client also uses what it made
                login = call(self._url, "login", "/api/auth/login", form={"username": email, "password": PASSWORD})
                self.calls.append(login)
                if login.status == 200:
                    self.calls.append(call(self._url, "me", "/api/users/me", token=login.body["access_token"]))


def call(url, name, path, *, json=None, form=None, token=None):
    """Make one request on a connection of its own."""
    body, headers, method = None, {}, "GET"
    if json is not None:
        body, headers, method = dumps(json), {"Content-Type": "application/json"}, "POST"
    if form is not None:
        body, headers, method = urllib.parse.urlencode(form), {"Content-Type": FORM}, "POST"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    email = (json or {}).get("email") or (form or {}).get("username") or ""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=LONG)
    with contextlib.closing(connection):
        started = time.monotonic()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        ended = time.monotonic()
    return Call(name, email, started, ended, response.status, response.headers["Retry-After"], loads(text))


dumps, loads = json.dumps, json.loads


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory):
    with ReplicaSet(tmp_path_factory.mktemp("replica-set")) as replica_set:
        yield replica_set


@pytest.fixture(scope="module")
def url(gunicorn, replica_set):
    """The service, two workers: one and the same for all that happens to its database."""
    # Threads as by default: whoever waits for the database while signing up has a seat in the waiting room.
    settings = {"WEB_CONCURRENCY": "2", "GUNICORN_THREADS": "64", "DATA_KEYS": Fernet.generate_key().decode()}
    limit = {"THROTTLE_SECOND_FACTOR_PER_ACCOUNT_AND_IP": "5 per 15 minute"}
    with gunicorn(MONGO_URI=replica_set.uri("pixora"), **settings, **limit) as url:
        yield url


def stored(replica_set):
    """Return the ids of all users, by address, as the majority has them."""
    with pymongo.MongoClient(replica_set.uri("pixora")) as client:
        users = client.pixora.get_collection("users", read_concern=pymongo.read_concern.ReadConcern("majority"))
        return {user["email"]: user["_id"] for user in users.find({}, {"email": 1})}


def lost(load, replica_set):
    """Return the sign-ups that were acknowledged and are not to be found."""
    acknowledged = load.of("signup", 201)  # first, because the load goes on
    ids = stored(replica_set)
    return [call for call in acknowledged if ids.get(call.email) != call.body["id"]]


def assert_clients_were_told_in_time(load, url):
    expected = {"signup": {201, 409, 503}, "login": {200, 503}, "me": {200, 503}}
    log = url.log.read_text(errors="replace")
    assert not [call for call in load.calls if call.status not in expected[call.name]], f"{load.summary()}\n{log}"
    refused = [call for call in load.calls if call.status == 503]
    assert all(call.retry_after and call.body["code"] == "database_unavailable" for call in refused)
    assert not [(call.name, call.status, call.duration) for call in load.calls if call.duration > DEADLINE + SOON]


def outage(load, fault):
    """Return the seconds from the last sign-up that was answered before a fault to the first one after it."""
    answered = sorted(call.ended for call in load.of("signup", 201))
    return max(after - before for before, after in itertools.pairwise(answered) if after > fault)


def report(what, load, fault):
    seconds, longest = outage(load, fault), max(call.duration for call in load.calls)
    tell(f"{what}: no sign-up for {seconds:.1f} s, longest request {longest:.2f} s, {load.summary()}")
    return seconds


def tell(measured):
    print(f"\n{measured}")  # noqa: T201  # for whoever asks with -s


def is_healthy(url):
    health = call(url, "health", "/health")
    assert health.duration <= DEADLINE + SOON
    assert set(health.body) == {"status", "database"}
    if health.status == 200:
        assert health.body == {"status": "healthy", "database": "connected"}
        return True
    assert health.status == 503
    assert health.body["status"] == "unhealthy"
    assert health.body["database"] in {"unreachable", "timeout"}
    return False


def seconds_until(condition):
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + HEALTH_SECONDS + DEADLINE
        time.sleep(0.1)
    return time.monotonic() - started


def test_a_primary_that_dies_takes_nothing_acknowledged_with_it(replica_set, url):
    primary = replica_set.primary()
    with Load(url) as load:
        load.wait_for_sign_ups(20)
        fault = time.monotonic()
        replica_set.kill(primary)
        replica_set.primary()
        load.wait_for_sign_ups(20, after=fault + 1)
        assert lost(load, replica_set) == []
        replica_set.restart(primary)
        replica_set.wait_until_whole()  # by now it has rolled back what the others never had
    assert lost(load, replica_set) == []
    assert report("kill -9 of the primary", load, fault) <= OUTAGE_SECONDS
    assert_clients_were_told_in_time(load, url)


def test_a_primary_that_hangs_is_replaced_and_loses_nothing_when_it_goes_on(replica_set, url):
    primary = replica_set.primary()
    with Load(url) as load:
        load.wait_for_sign_ups(20)
        fault = time.monotonic()
        replica_set.suspend(primary)
        try:
            load.wait_for_sign_ups(20, after=fault + 1)
        finally:
            replica_set.resume(primary)
        replica_set.wait_until_whole()
    assert lost(load, replica_set) == []
    assert report("SIGSTOP of the primary", load, fault) <= HANG_SECONDS
    assert_clients_were_told_in_time(load, url)


def test_a_database_that_was_gone_is_used_again_without_a_restart(replica_set, url):
    with Load(url) as load:
        load.wait_for_sign_ups(20)
        fault = time.monotonic()
        for member in replica_set.members:
            replica_set.kill(member)
        unhealthy_after = seconds_until(lambda: not is_healthy(url))
        load.wait_for(lambda: len(load.of("signup", 503)) >= 10)
        for member in replica_set.members:
            replica_set.restart(member)
        replica_set.primary()
        back = time.monotonic()
        healthy_after = seconds_until(lambda: all(is_healthy(url) for _ in range(6)))  # both workers
        load.wait_for_sign_ups(20, after=back)
        replica_set.wait_until_whole()
    tell(f"/health: 503 after {unhealthy_after:.1f} s, 200 again {healthy_after:.1f} s after there was a primary")
    report("all members gone, and back", load, fault)
    assert max(unhealthy_after, healthy_after) <= HEALTH_SECONDS
    assert lost(load, replica_set) == []
    assert_clients_were_told_in_time(load, url)


def test_an_index_that_is_lost_while_a_member_is_down_is_made_again(replica_set, url):
    member = replica_set.secondary()
    replica_set.kill(member)
    with pymongo.MongoClient(replica_set.uri("pixora")) as client:
        client.pixora.users.drop_index("email_1")
        seconds_until(lambda: call(url, "health", "/health").status == 503)
        seconds_until(lambda: "email_1" in client.pixora.users.index_information())
        seconds_until(lambda: all(call(url, "health", "/health").status == 200 for _ in range(6)))
    replica_set.restart(member)
    replica_set.wait_until_whole()


# The second step of a login


class Owner:
    """Somebody with an authenticator app who has entered the password; `kind` of code comes next."""

    def __init__(self, client, kind):
        self._client, self.kind = client, kind
        self.email = f"user{next(Load.addresses)}@example.com"
        if time.time() % STEP > STEP - 5:
            time.sleep(5)  # or else the code of the last step is too old before it arrives
        self._uri, codes = enrol(client, lambda uri, seconds: by_pyotp(uri, seconds - STEP), self.email)
        self._code = {kind: by_pyotp(self._uri, 0) if kind == "code" else codes[0]}
        self._token = challenge(client, self.email)

    def send_code(self):
        """Send the code, the same one each time; return the status."""
        return send_code(self._client, self._token, **self._code)

    def send_a_new_code(self):
        return send_code(self._client, challenge(self._client, self.email), code=by_pyotp(self._uri, STEP))


STEP = 30


@pytest.fixture
def owners(url):
    """Two who send a code, and two who send a recovery code."""
    return [Owner(Client(url), kind) for kind in ("code", "recovery_code") for _ in range(2)]


def hold_back(client, times, seconds, **how):
    """Let the next updates of users wait at a member; return a function that waits until they do."""
    wanted = {"failCommands": ["update"], "namespace": "pixora.users", "appName": "pixora"}
    holding = {"blockConnection": True, "blockTimeMS": 1000 * seconds}
    before = client.admin.command(
        "configureFailPoint", "failCommand", mode={"times": times}, data=wanted | holding | how
    )["count"]
    entered = {"timesEntered": before + times, "maxTimeMS": 1000 * LONG}
    return lambda: client.admin.command("waitForFailPoint", "failCommand", **entered)


def sessions(client, owners):
    """Return how many sessions each has, as this client sees it."""
    return [len(client.pixora.users.find_one({"email": owner.email})["sessions"]) for owner in owners]


@pytest.mark.parametrize("failure", [{}, {"errorCode": 11600}], ids=["it is written all the same", "it is not written"])
def test_a_worker_killed_before_it_opens_a_session_leaves_each_code_good_for_one_at_most(
    replica_set, url, owners, failure
):
    with replica_set.client(replica_set.primary()) as client, ThreadPoolExecutor(len(owners)) as pool:
        before = sessions(client, owners)
        wait = hold_back(client, len(owners), 2, **failure)
        requests = [pool.submit(owner.send_code) for owner in owners]
        wait()
        for worker in children(url.pid):
            os.kill(worker, signal.SIGKILL)
        assert all(isinstance(request.exception(), ConnectionError) for request in requests)
        written = before if failure else [number + 1 for number in before]
        wait_until(lambda: sessions(client, owners) == written)
        seconds_until(lambda: all(is_healthy(url) for _ in range(6)))  # both workers
        assert [owner.send_code() for owner in owners] == [200 if failure else 401] * len(owners)
        assert sessions(client, owners) == [number + 1 for number in before]
    assert [owner.send_a_new_code() for owner in owners] == [200] * len(owners)


def test_a_primary_lost_before_or_while_it_opens_a_session_leaves_each_code_good_for_one_at_most(
    replica_set, url, owners
):
    """One of each kind has its write held back; that of the other is done, and waits for a majority."""
    primary = replica_set.primary()
    secondaries = [member for member in replica_set.members if member is not primary]
    held, waiting = owners[::2], owners[1::2]
    # PyMongo takes its leave of the killed member as well, and waits for it.
    client = replica_set.client(primary, serverSelectionTimeoutMS=1000)
    with client, ThreadPoolExecutor(len(owners)) as pool:
        before = sessions(client, owners)
        wait = hold_back(client, len(held), LONG)
        requests = [pool.submit(owner.send_code) for owner in held]
        wait()
        for member in secondaries:
            replica_set.suspend(member)
        try:
            requests += [pool.submit(owner.send_code) for owner in waiting]
            wait_until(lambda: sessions(client, waiting) == [number + 1 for number in before[1::2]])
            replica_set.kill(primary)
        finally:
            for member in secondaries:
                replica_set.resume(member)
        first = dict(zip(held + waiting, [request.result() for request in requests], strict=True))
    replica_set.primary()
    replica_set.restart(primary)
    replica_set.wait_until_whole()
    seconds_until(lambda: all(is_healthy(url) for _ in range(6)))
    assert set(first.values()) <= {200, 503}
    again = {owner: owner.send_code() for owner in owners}
    with pymongo.MongoClient(replica_set.uri("pixora")) as client:
        after = sessions(client, owners)
    tell(f"at first {sorted(first.values())}, again {sorted(again.values())}")
    for owner, less, more in zip(owners, before, after, strict=True):
        assert more - less <= 1 if owner.kind == "code" else more - less == 1  # an unused code may be too old by now
        assert [first[owner], again[owner]].count(200) <= more - less
    assert [owner.send_a_new_code() for owner in owners] == [200] * len(owners)
