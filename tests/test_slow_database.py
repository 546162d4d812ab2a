"""A database that takes over half a second for each command, refuses one, or loses connections."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pymongo
import pytest
from mongod import Mongod

import config
from tests.conftest import close
from tests.factories import PASSWORD, fastapi_user, log_in
from tests.timeouts import LONG, wait_until

COMMANDS = ["find", "update", "insert", "distinct", "aggregate", "findAndModify"]
NAMES = [f"user-{number}@example.com" for number in range(14)]


@pytest.fixture(scope="module")
def mongod(tmp_path_factory):
    """A server that accepts MongoDB's `failCommand`."""
    arguments = ("--setParameter", "enableTestCommands=1")
    with Mongod(tmp_path_factory.mktemp("slow"), binary=config.mongod(), arguments=arguments) as mongod:
        yield mongod


@pytest.fixture
def database(mongod):
    with pymongo.MongoClient(mongod.uri("pixora"), tz_aware=True) as client:
        yield client["pixora"]
        client.drop_database("pixora")


@pytest.fixture
def failing(database):
    """Fail or delay the commands of the application in a `with` block."""

    @contextlib.contextmanager
    def failing(mode="alwaysOn", commands=COMMANDS, **how):
        admin = database.client.admin
        data = {"failCommands": commands, "appName": "pixora"} | how
        admin.command("configureFailPoint", "failCommand", mode=mode, data=data)
        try:
            yield
        finally:
            admin.command("configureFailPoint", "failCommand", mode="off")

    return failing


@pytest.fixture
def service(make_app, mongod, database):
    """Create applications with given limits on that server, with accounts."""
    database["users"].insert_many([fastapi_user(email=email) for email in NAMES])
    made = []

    def service(**limits):
        app = make_app(MONGO_URI=mongod.uri("pixora"), HASH_QUEUE_SECONDS=1, DATABASE_TIMEOUT_MS=3000, **limits)
        assert app.test_client().get("/health").status_code == 200
        made.append(app)
        return app

    yield service
    for app in made:
        close(app)


def bearer(app):
    login = log_in(app.test_client(), NAMES[0])
    assert login.status_code == 200, login.text
    return {"Authorization": f"Bearer {login.json['access_token']}"}


def counted(database):
    return {document["count"] for document in database["throttles"].find()}


def at_once(app, emails):
    with ThreadPoolExecutor(len(emails)) as pool:
        return list(pool.map(lambda email: log_in(app.test_client(), email), emails))


def succeeds_or_has_a_short_retry_after(response):
    """Return whether a login succeeded, or may be repeated as soon as the leases have expired."""
    return response.status_code == 200 or (
        response.status_code in (429, 503) and 1 <= int(response.headers["Retry-After"]) <= 15
    )


def test_parallel_correct_logins_of_one_user_do_not_lock_the_user_out(service, database, failing):
    app = service(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="10 per 15 minute")
    with failing(blockConnection=True, blockTimeMS=600):
        answers = at_once(app, NAMES[:1] * 12)
    assert all(map(succeeds_or_has_a_short_retry_after, answers))
    assert counted(database) == {0}
    assert log_in(app.test_client(), NAMES[0]).status_code == 200


def test_colleagues_behind_one_address_do_not_lock_each_other_out(service, database, failing):
    """Fourteen users log in from one network with a limit of ten."""
    app = service(THROTTLE_LOGIN_PER_IP="10 per 15 minute")
    with failing(blockConnection=True, blockTimeMS=600):
        answers = at_once(app, NAMES)
    assert all(map(succeeds_or_has_a_short_retry_after, answers))
    assert counted(database) == {0}
    assert [log_in(app.test_client(), email).status_code for email in NAMES] == [200] * len(NAMES)


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_a_verdict_that_cannot_be_written_is_not_answered(service, database, failing, password):
    """An attempt that is not counted must not reveal whether it was correct."""
    app = service(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per 15 minute")
    log_in(app.test_client(), NAMES[1])
    with failing({"skip": 1}, ["update"], errorCode=11601):
        response = log_in(app.test_client(), NAMES[0], password)
    assert (response.status_code, response.json["code"]) == (503, "database_unavailable")
    assert counted(database) == {0}
    started = time.monotonic()
    assert log_in(app.test_client(), NAMES[0]).status_code == 200
    assert time.monotonic() - started < 60  # its lease, and not the window


FAILOVERS = [{"closeConnection": True}, {"errorCode": 189}, {"errorCode": 10107}]
"""A lost connection; PrimarySteppedDown; NotWritablePrimary."""


@pytest.mark.parametrize("how", FAILOVERS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_read_that_a_failover_interrupts_is_repeated(service, failing, how, times):
    app = service()
    headers = bearer(app)
    with failing({"times": times}, ["find"], **how):
        response = app.test_client().get("/api/users/me", headers=headers)
    assert (response.status_code, response.json["email"]) == (200, NAMES[0])


@pytest.mark.parametrize("how", [*FAILOVERS, {"blockConnection": True, "blockTimeMS": 4000}])
def test_a_read_that_cannot_be_repeated_in_time_is_refused(service, failing, how):
    app = service()
    headers = bearer(app)
    started = time.monotonic()
    with failing("alwaysOn", ["find"], **how):
        response = app.test_client().get("/api/users/me", headers=headers)
    assert (response.status_code, response.json["code"]) == (503, "database_unavailable")
    assert time.monotonic() - started < LONG + 4


def refresh(app, token):
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return app.test_client().post("/api/auth/refresh", data=form)


@pytest.fixture
def outage(failing, database, move_clock):
    """Let a refresh meet an outage of some seconds, until its end is known."""

    def outage(app, token, seconds):
        before = database["throttles"].find_one({"_id": "OUTAGE"}) or {}
        with failing(errorCode=10107):
            assert refresh(app, token).status_code == 503
            move_clock(seconds=seconds - 7)
            time.sleep(4)  # longer than one attempt to report it: the next one has the clock that was moved
        wait_until(
            lambda: (database["throttles"].find_one({"_id": "OUTAGE"}) or {}).get("ended") != before.get("ended")
        )

    return outage


@pytest.fixture
def exchanged(service):
    """An application, a refresh token that was exchanged, and its successor."""
    app = service()
    token = log_in(app.test_client(), NAMES[0]).json["refresh_token"]
    return app, token, refresh(app, token).json["refresh_token"]


def test_after_an_outage_an_exchanged_refresh_token_has_its_grace_again(
    service, exchanged, outage, database, move_clock
):
    app, token, successor = exchanged
    idle = service()
    move_clock(seconds=9)
    outage(app, token, seconds=30)
    move_clock(seconds=7)
    for worker in (app, idle):
        assert refresh(worker, token).json["refresh_token"] == successor
    assert database["audit"].count_documents({"event": "refresh_reuse"}) == 0
    move_clock(seconds=11)
    assert refresh(idle, token).status_code == 401
    assert refresh(app, successor).status_code == 401
    assert database["audit"].count_documents({"event": "refresh_reuse"}) == 1


@pytest.mark.parametrize(
    ("before", "seconds"),
    [
        pytest.param(9, 75, id="of an outage no more than a minute counts, and the grace after it"),
        pytest.param(11, 8, id="the grace was over before the outage"),
    ],
)
def test_an_outage_gives_a_stolen_refresh_token_no_endless_grace(exchanged, outage, move_clock, before, seconds):
    app, token, successor = exchanged
    move_clock(seconds=before)
    outage(app, token, seconds)
    assert refresh(app, token).status_code == 401
    assert refresh(app, successor).status_code == 401


def test_an_outage_before_the_answer_gives_no_grace(exchanged, outage, move_clock):
    app, token, _ = exchanged
    outage(app, token, seconds=8)
    other = log_in(app.test_client(), NAMES[1]).json["refresh_token"]
    move_clock(seconds=1)
    assert refresh(app, other).status_code == 200
    move_clock(seconds=11)
    assert refresh(app, other).status_code == 401


def test_outages_with_little_between_them_count_as_one(exchanged, outage, move_clock):
    app, token, successor = exchanged
    move_clock(seconds=8)
    for _ in range(2):
        outage(app, token, seconds=8)
        move_clock(seconds=7)
    assert refresh(app, token).json["refresh_token"] == successor
