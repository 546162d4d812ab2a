import time
from concurrent.futures import ThreadPoolExecutor

import pymongo
import pytest
from mongod import free_port
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from pixora.database.deadline import Deadline
from pixora.errors import DatabaseUnavailable
from tests.factories import PASSWORD, fastapi_user, log_in, sign_up, signup_body
from tests.timeouts import LONG, SOON


def test_the_unique_index_is_there_before_the_first_request_is_served(make_app, dropped):
    log_in(make_app().test_client())
    assert dropped.index_information()["email_1"] == {"v": 2, "key": [("email", 1)], "unique": True}


def test_workers_that_start_at_once_make_one_index_and_one_user(make_app, dropped):
    clients = [make_app().test_client() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda client: sign_up(client).status_code, clients))
    assert sorted(statuses) == [201] + [409] * 7
    assert dropped.count_documents({}) == 1


def test_an_index_of_the_fastapi_era_is_taken_over(make_app, dropped):
    dropped.create_index("email", unique=True)
    assert make_app().test_client().get("/health").status_code == 200


def test_an_index_that_is_not_unique_is_reported_and_keeps_the_service_from_serving(make_app, dropped, capture_logs):
    dropped.create_index("email")
    client = make_app().test_client()
    with capture_logs() as lines:
        assert client.get("/health").json == {"status": "unhealthy", "database": "indexes"}
        assert sign_up(client).status_code == 503
    [line] = [line for line in lines if line.get("event") == "indexes_failed"]
    assert "users.email_1: The index is wrong. Run: flask --app wsgi db upgrade" in line["message"]
    assert dropped.count_documents({}) == 0


def test_users_who_share_an_address_are_reported_without_their_address(make_app, dropped, capture_logs):
    dropped.insert_many([fastapi_user(), fastapi_user()])
    client = make_app().test_client()
    with capture_logs() as lines:
        assert client.get("/health").json["database"] == "indexes"
    [line] = [line for line in lines if line.get("event") == "indexes_failed"]
    assert "share an e-mail address" in line["message"]
    assert "Hopper" not in str(lines)


def test_the_service_recovers_when_the_index_can_be_made(make_app, dropped, monkeypatch):
    monkeypatch.setattr("pixora.database.client.RETRY_SECONDS", 0)
    dropped.insert_many([fastapi_user(), fastapi_user()])
    client = make_app().test_client()
    assert client.get("/health").status_code == 503
    dropped.delete_one({})
    assert client.get("/health").status_code == 200


def test_an_index_that_is_dropped_meanwhile_is_noticed_and_made_again(make_app, dropped, monkeypatch, capture_logs):
    monkeypatch.setattr("pixora.database.client.INDEX_CHECK_SECONDS", 0)
    client = make_app().test_client()
    assert client.get("/health").status_code == 200
    dropped.drop_index("email_1")
    with capture_logs() as lines:
        lost = client.get("/health")
    assert (lost.status_code, lost.json["database"]) == (503, "indexes")
    assert [line["event"] for line in lines] == ["indexes_lost"]
    assert client.get("/health").status_code == 200
    assert dropped.index_information()["email_1"]["unique"]


def test_while_a_dropped_index_cannot_be_made_again_nobody_signs_up(make_app, dropped, monkeypatch):
    monkeypatch.setattr("pixora.database.client.INDEX_CHECK_SECONDS", 0)
    client = make_app().test_client()
    assert sign_up(client).status_code == 201
    dropped.drop_index("email_1")
    dropped.insert_many([fastapi_user(), fastapi_user()])
    for _ in range(2):
        assert client.get("/health").json == {"status": "unhealthy", "database": "indexes"}
    assert sign_up(client).status_code == 503


def test_health_asks_for_the_indexes_once_in_a_few_seconds(make_app, users, watch_commands):
    client = make_app().test_client()
    client.get("/health")
    with watch_commands() as commands:
        for _ in range(3):
            client.get("/health")
    assert [command.command_name for command in commands] == ["ping"] * 3


def test_requests_that_come_at_once_to_a_new_worker_do_not_wait_for_each_other(make_app):
    app = make_app(MONGO_URI=f"mongodb://127.0.0.1:{free_port()}/pixora", DATABASE_TIMEOUT_MS=300)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: app.test_client().get("/health").status_code, range(8)))
    assert statuses == [503] * 8
    assert time.monotonic() - started < SOON


def test_requests_do_not_wait_for_an_index_that_takes_long(make_app, mongo, dropped):
    dropped.insert_one(fastapi_user())
    client = make_app(DATABASE_TIMEOUT_MS=300).test_client()
    with mongo.start_session() as session, session.start_transaction():
        dropped.delete_one({}, session=session)  # until this ends, the collection is locked against an index
        for _ in range(2):
            started = time.monotonic()
            assert sign_up(client).status_code == 503
            assert client.get("/health").json["database"] == "indexes"
            assert time.monotonic() - started < SOON
    deadline = time.monotonic() + LONG
    while client.get("/health").status_code != 200:
        assert time.monotonic() < deadline


def test_the_operations_of_a_request_share_its_deadline(app, users):
    database = app.extensions["services"].database

    def request(environment, start_response):
        with database.operation():
            users.find_one()
            time.sleep(0.5)
        with database.operation():
            assert pymongo._csot.remaining() <= 2.5
        return []

    Deadline(request)({}, None)
    with database.operation():
        assert pymongo._csot.remaining() > 2.5


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/auth/signup", {"json": signup_body()}),
        ("POST", "/api/auth/login", {"data": {"username": "ada@example.com", "password": PASSWORD}}),
        ("GET", "/api/users/me", {}),
    ],
)
def test_without_its_database_the_service_says_so_within_the_deadline(make_app, account, method, path, body):
    app = make_app(MONGO_URI=f"mongodb://127.0.0.1:{free_port()}/pixora", DATABASE_TIMEOUT_MS=300)
    started = time.monotonic()
    response = app.test_client().open(path, method=method, headers=account.bearer, **body)
    assert time.monotonic() - started < SOON
    assert response.status_code == 503
    assert response.json["code"] == "database_unavailable"
    assert response.headers["Retry-After"] == "5"


def test_writes_wait_for_the_majority_and_reads_go_to_the_primary_whatever_the_uri_says(
    make_app, settings, watch_commands
):
    app = make_app(MONGO_URI=settings.mongo_uri + "&w=0&readPreference=secondary")
    with watch_commands() as commands:
        assert sign_up(app.test_client()).status_code == 201
    [insert] = [command.command for command in commands if command.command_name == "insert"]
    assert insert["writeConcern"]["w"] == "majority"
    collection = app.extensions["services"].users.collection
    assert collection.read_preference == pymongo.ReadPreference.PRIMARY


def test_every_operation_has_a_deadline(client, account, watch_commands):
    with watch_commands() as commands:
        client.get("/api/users/me", headers=account.bearer)
        sign_up(client, email="new@example.com")
    assert [command.command_name for command in commands] == ["find", "update", "update", "insert", "update"]
    assert all(0 < command.command["maxTimeMS"] <= 3000 for command in commands)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ServerSelectionTimeoutError("x"), "unreachable"),
        (AutoReconnect("x"), "unreachable"),
        (NotPrimaryError("x"), "unreachable"),
        (WriteConcernError("x", 91), "unreachable"),
        (NetworkTimeout("x"), "timeout"),
        (WaitQueueTimeoutError("x"), "timeout"),
        (ExecutionTimeout("x", 50), "timeout"),
        (WTimeoutError("x", 64), "timeout"),
        (OperationFailure("x", 18), "unauthorized"),
        (OperationFailure("x", 13), "unauthorized"),
        (OperationFailure("x", 14031), "full"),
        (OperationFailure("x", 6), "unreachable"),
        (OperationFailure("x", 134), "unreachable"),
        (OperationFailure("x", 262), "timeout"),
        (OperationFailure("x", 462, {"errorLabels": ["SystemOverloadedError"]}), "unreachable"),
        (ConfigurationError("The DNS operation timed out."), "unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_means_not_now_is_unavailable(app, error, reason):
    with pytest.raises(DatabaseUnavailable) as caught, app.extensions["services"].database.operation():
        raise error
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "error", [DuplicateKeyError("x", 11000), OperationFailure("bad query", 2), InvalidOperation("x")]
)
def test_what_is_no_fault_of_the_database_passes(app, error):
    with pytest.raises(type(error)), app.extensions["services"].database.operation():
        raise error
