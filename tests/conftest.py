"""One mongod for the whole run, a database for each of xdist's workers, an application on it."""

import importlib
import io
import json
import logging
import os
import pkgutil
import secrets
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymongo
import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from mongod import Mongod
from pymongo import monitoring
from pymongo.collection import Collection
from werkzeug.test import TestResponse

import config as configuration
import pixora
from config import Settings
from pixora import create_app
from pixora.accounts.users import INDEXES
from pixora.observability.logs import Formatter
from pixora.observability.request_log import REQUEST_LOG
from tests.command_watch import WATCH
from tests.factories import SERVICE_KEYS, Account, log_in, signup_body
from tests.movable_clock import MovableClock

NO_THROTTLES = dict.fromkeys(
    (
        "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP",
        "THROTTLE_LOGIN_PER_ACCOUNT",
        "THROTTLE_LOGIN_PER_IP",
        "THROTTLE_SIGNUP_PER_IP",
        "THROTTLE_MAIL_PER_ACCOUNT",
        "THROTTLE_MAIL_PER_IP",
        "THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT",
        "THROTTLE_INTROSPECTION_PER_SERVICE",
        "THROTTLE_SERVICE_KEY_PER_IP",
        "THROTTLE_SECOND_FACTOR_PER_ACCOUNT_AND_IP",
        "THROTTLE_SECOND_FACTOR_PER_ACCOUNT",
    ),
    "1000000 per second",
)
"""Out of the way of all tests but those that are about them."""

# A busy machine is no fault of what is tested.
hypothesis_settings.register_profile("pixora", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("pixora")

RUN = pytest.StashKey[tuple[Mongod, tempfile.TemporaryDirectory[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="a folder for pictures of the pages, in every state")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # one of xdist's workers: the mongod of the run is given to it
    folder = tempfile.TemporaryDirectory(prefix="pixora-tests-")
    mongod = Mongod(Path(folder.name), binary=configuration.mongod())
    mongod.start()
    config.stash[RUN] = mongod, folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that take longest, so that the workers of a run end at about the same time."""
    slowest = "test_slow_database", "test_hostile", "test_schemathesis", "test_deploys", "test_database_faults"

    def place(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.stem
        rank = slowest.index(name) if name in slowest else len(slowest)
        return rank, item.path.parent.name not in ("system", "server")

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without measuring coverage, once all modules are imported, whose lines count."""
    for module in pkgutil.walk_packages(pixora.__path__, "pixora."):
        importlib.import_module(module.name)
    with coverage_paused():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Generator[None, object, object]:
    """Measure no coverage while another process works, nor of pixora/server, which the report omits."""
    is_elsewhere = "gunicorn" in item.fixturenames or item.path.parent.name == "server"
    with coverage_paused() if is_elsewhere else nullcontext():
        return (yield)


@contextmanager
def coverage_paused() -> Iterator[None]:
    """Measure no coverage in a `with` block, in this thread and in those that it starts.

    Python takes half as long again while it is measured.
    """
    own, others = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(own)
        threading.settrace(others)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["mongo_uri"] = node.config.stash[RUN][0].uri("")


def pytest_unconfigure(config: pytest.Config) -> None:
    REQUEST_LOG._lines.clear()  # or they would come after pytest's summary
    if run := config.stash.get(RUN, None):
        mongod, folder = run
        mongod.stop()
        folder.cleanup()


@pytest.fixture(scope="session")
def mongo_uri(request: pytest.FixtureRequest) -> str:
    """The URI of this worker's own database."""
    worker = getattr(request.config, "workerinput", None)
    uri = worker["mongo_uri"] if worker else request.config.stash[RUN][0].uri("")
    name = f"pixora_{worker['workerid'] if worker else 'main'}"
    return uri.replace("/?", f"/{name}?")


@pytest.fixture(scope="session")
def settings(mongo_uri: str) -> Settings:
    """Settings as `config.load` makes them, bcrypt at its lowest cost."""
    environment = {
        "PIXORA_ENV": "testing",
        "MONGO_URI": mongo_uri,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "BCRYPT_ROUNDS": "4",
        "DATA_KEYS": Fernet.generate_key().decode(),
        "HASH_QUEUE_SECONDS": "20",  # a busy machine is no reason to be sent away
        "SERVICE_KEYS": SERVICE_KEYS,
        "WEBAUTHN_RP_ID": "example.com",
        "WEBAUTHN_ORIGINS": "https://app.example.com,http://localhost:3000",
        "WEBAUTHN_ANDROID_APPS": f"com.example.app:{'0a' * 32}",
        "LINK_MANAGE_PASSKEYS": "https://app.example.com/passkeys",
        **NO_THROTTLES,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return configuration.load()


@pytest.fixture(scope="session", autouse=True)
def own_core_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the applications of this process core locks of their own, which no other process holds.

    Else they would wait for the hashes of any other service on this machine, longer than some of their queues allow.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("core-locks")))
        yield


@pytest.fixture(scope="session")
def session_app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    close(app)


@pytest.fixture
def app(session_app: Flask, users: Collection[dict[str, Any]]) -> Flask:
    """The application, its database empty."""
    return session_app


@pytest.fixture
def make_app(settings: Settings, users: Collection[dict[str, Any]]) -> Iterator[Callable[..., Flask]]:
    """Make an application with some settings changed."""
    made: list[Flask] = []

    def make(**changes: Any) -> Flask:
        made.append(create_app(replace(settings, **{name.lower(): value for name, value in changes.items()})))
        return made[-1]

    yield make
    for app in made:
        close(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="session")
def mongo(mongo_uri: str) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    """A client of the tests' own, to see what is really stored."""
    with pymongo.MongoClient(mongo_uri, tz_aware=True) as client:
        yield client


@pytest.fixture
def users(mongo: pymongo.MongoClient[dict[str, Any]]) -> Collection[dict[str, Any]]:
    """The collection `users`, emptied; and nobody was erased."""
    database = mongo.get_default_database()
    collection = database["users"]
    collection.delete_many({})
    database["erased"].delete_many({})
    return collection


@pytest.fixture
def dropped(users: Collection[dict[str, Any]]) -> Iterator[Collection[dict[str, Any]]]:
    """The collection `users` as a new database has it: not at all."""
    users.drop()
    yield users
    users.drop()
    users.create_indexes(INDEXES["users"])  # for the application that all tests share


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The environment of a command in a process of its own, with these settings."""
    return os.environ | {
        "PIXORA_ENV": "testing",
        "MONGO_URI": settings.mongo_uri,
        "SECRET_KEY": settings.secret_key,
        "JWT_SECRET_KEY": settings.jwt_secret_key,
        "BCRYPT_ROUNDS": "4",
        "DATA_KEYS": ",".join(settings.data_keys),
    }


@pytest.fixture
def counts(mongo: pymongo.MongoClient[dict[str, Any]]) -> Collection[dict[str, Any]]:
    """The collection of the throttles' counts, emptied."""
    collection = mongo.get_default_database()["throttles"]
    collection.delete_many({})
    return collection


@pytest.fixture
def trail(mongo: pymongo.MongoClient[dict[str, Any]]) -> Collection[dict[str, Any]]:
    """The collection of the audit trail, emptied."""
    collection = mongo.get_default_database()["audit"]
    collection.delete_many({})
    return collection


@pytest.fixture
def emails_to(users: Collection[dict[str, Any]]) -> Callable[[str], list[dict[str, Any]]]:
    """Read what waits in the outbox for an address, the oldest letter first."""

    def read(address: str) -> list[dict[str, Any]]:
        found = users.find({"letters.to": address}, {"letters": 1})
        waiting = [letter for user in found for letter in user["letters"] if letter["to"] == address]
        return sorted(waiting, key=lambda letter: letter["created_at"])

    return read


@pytest.fixture
def token_sent(app: Flask, emails_to: Callable[[str], list[dict[str, Any]]]) -> Callable[[str, str], str]:
    """Take the token out of the newest letter of a kind to an address, as its reader would."""

    def read(address: str, template: str) -> str:
        letter = [letter for letter in emails_to(address) if letter["template"] == template][-1]
        token: str | None = app.extensions["services"].outbox.decrypt_token(letter)
        assert token is not None
        return token

    return read


@pytest.fixture
def account(client: FlaskClient) -> Account:
    """Someone who has signed up and logged in."""
    return make_account(client)


@pytest.fixture
def other_account(client: FlaskClient) -> Account:
    """Someone else."""
    return make_account(client, email="grace@example.com")


@pytest.fixture
def admin(client: FlaskClient, users: Collection[dict[str, Any]]) -> Account:
    """The only administrator."""
    return promote(users, make_account(client, email="admin@example.com"))


@pytest.fixture
def reset_factors(client: FlaskClient, admin: Account) -> Callable[..., TestResponse]:
    """Remove the second factors and passkeys of a user, as the administrator or as another account."""

    def reset(user_id: str, by: Account = admin) -> TestResponse:
        return client.delete(f"/api/admin/users/{user_id}/factors", headers=by.bearer)

    return reset


@pytest.fixture
def change_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of an application that is already made."""

    def change(app: Flask, **changes: Any) -> None:
        services = app.extensions["services"]
        settings = replace(services.settings, **{name.lower(): value for name, value in changes.items()})
        monkeypatch.setitem(app.extensions, "services", replace(services, settings=settings))
        for name, value in changes.items():
            monkeypatch.setitem(app.config, name, value)

    return change


@pytest.fixture
def post_at_once(app):
    """Post the same many times at once; count the answers by status."""

    def post(times, path, body):
        def one(_):
            return app.test_client().post(path, json=body).status_code

        with ThreadPoolExecutor(times) as pool:
            return Counter(pool.map(one, range(times)))

    return post


@pytest.fixture
def watch_commands() -> Callable[[], AbstractContextManager[list[monitoring.CommandStartedEvent]]]:
    """Collect the commands sent to MongoDB in a `with` block."""

    @contextmanager
    def watch() -> Iterator[list[monitoring.CommandStartedEvent]]:
        WATCH.commands = commands = []
        try:
            yield commands
        finally:
            WATCH.commands = None

    return watch


@pytest.fixture
def before_a_write() -> Iterator[Callable[..., None]]:
    """Have something done, once, when a write to a collection is about to be sent and all reads before it are made.

    With `reads`, when the first command of any kind is about to be sent after so many reads.
    """

    def interrupt(collection: str, action: Callable[[], Any], *, reads: int | None = None) -> None:
        left = reads

        def started(event: monitoring.CommandStartedEvent) -> None:
            nonlocal left
            name = event.command_name
            if event.command.get(name) != collection:
                return
            if left:
                left -= 1
            elif reads is not None or name in ("update", "findAndModify", "delete"):
                WATCH.interruption = None
                with ThreadPoolExecutor(1) as other:  # this thread is inside PyMongo
                    other.submit(action).result()

        WATCH.interruption = started

    yield interrupt
    WATCH.interruption = None


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Move the clock forward, ours and the ones that the JWT libraries read."""
    return MovableClock(monkeypatch).move


@pytest.fixture
def capture_logs() -> Callable[[], AbstractContextManager[list[dict[str, Any]]]]:
    """Collect what is logged in a `with` block: each line as it is printed, decoded."""

    @contextmanager
    def capture() -> Iterator[list[dict[str, Any]]]:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(Formatter())
        lines: list[dict[str, Any]] = []
        logging.getLogger().addHandler(handler)
        try:
            yield lines
        finally:
            logging.getLogger().removeHandler(handler)
            lines.extend(json.loads(line) for line in stream.getvalue().splitlines())

    return capture


def close(app: Flask) -> None:
    app.extensions["services"].outages.close()
    with pymongo.timeout(1):  # PyMongo says goodbye to the server, for which it waits 30 s where there is none any more
        app.extensions["services"].database._database.client.close()
    app.extensions["services"].hashing_queue.close()


def make_account(client: FlaskClient, **changes: str) -> Account:
    body = signup_body(**changes)
    created = client.post("/api/auth/signup", json=body)
    assert created.status_code == 201, created.text
    login = log_in(client, body["email"])
    assert login.status_code == 200, login.text
    return Account(created.json["id"], body["email"], login.json["access_token"], login.json["refresh_token"])


def promote(users: Collection[dict[str, Any]], account: Account) -> Account:
    """Make an account an administrator."""
    users.update_one({"_id": account.id}, {"$set": {"roles": ["user", "admin"]}})
    return account
