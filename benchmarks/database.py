"""The load of the database: bytes of a user and of an event, and MongoDB's CPU for each kind of request.

The users are in the state after sign-up, verification and two logins, each with different values; the events are
logins. Sizes on disk are those of WiredTiger's default compression. The CPU is measured for sequential requests, minus
that of an idle server; hashes have bcrypt's lowest cost. The mongod is the only member of its replica set, so the cost
of replication is not included.
"""

import http.client
import json
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import bcrypt
from bson import ObjectId

from benchmarks.figures import table
from benchmarks.load import FORM
from benchmarks.servers import FIRST, PIXORA, Bench, cpu, started
from tests.factories import PASSWORD, signup_body

USERS = 300_000
EVENTS = 300_000
BATCH = 10_000
REQUESTS = 1_000
IDLE_SECONDS = 3
DATABASE = "sizes"

Clocks = Callable[[], tuple[float, float]]
"""Return the CPU seconds of mongod and of the service since their start."""


def run(bench: Bench) -> dict[str, Any]:
    """Return bytes for each user and each event, and seconds of mongod's CPU for each request."""
    collections = bench.mongo[DATABASE]
    with started(
        bench, PIXORA, DATABASE, cores=FIRST, BCRYPT_ROUNDS="4", THROTTLE_SIGNUP_PER_IP="9 per second"
    ) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        model = _model(connection, collections["users"])
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        _insert(collections["users"], (_user(model, index, hashed) for index in range(USERS)))
        _insert(collections["audit"], (_event() for _ in range(EVENTS)))
        bench.mongo.admin.command("fsync")
        result = {"users": _sizes(collections["users"]), "audit": _sizes(collections["audit"])}
        result["cpu"] = _cpu(connection, lambda: (cpu(bench.mongod.pid), server.cpu()))
    return result


def _model(connection: http.client.HTTPConnection, users: Any) -> dict[str, Any]:
    """Return a user as the service leaves it after a sign-up, with the e-mail sent and the address verified."""
    body = json.dumps(signup_body(email="model@example.com"))
    _ask(connection, "POST", "/api/auth/signup", body, {"Content-Type": "application/json"})
    form = urlencode({"username": "model@example.com", "password": PASSWORD})
    agent = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
    for _ in range(2):
        _ask(connection, "POST", "/api/auth/login", form, FORM | agent)
    user: dict[str, Any] = users.find_one_and_delete({"email": "model@example.com"})
    return user | {"email_verified": True, "tokens": {}, "letters": []}


def _user(model: dict[str, Any], index: int, hashed: str) -> dict[str, Any]:
    """Return a user like the model with different values; the first ones can log in."""
    signed_up = model["created_at"] - timedelta(seconds=random.randrange(365 * 24 * 3600))
    session = {"created_at": signed_up, "last_used_at": signed_up + timedelta(seconds=random.randrange(3600))}
    name = f"user{index}" if index < REQUESTS else secrets.token_hex(random.randint(6, 8))
    return model | {
        "_id": str(ObjectId()),
        "first_name": secrets.token_hex(3),
        "last_name": secrets.token_hex(4),
        "email": f"{name}@example.com",
        # As long as a real one, and equally hard to compress.
        "password": hashed if index < REQUESTS else f"$2b$12${secrets.token_urlsafe(40)[:53]}",
        "contact": f"+4420{random.randrange(10**8):08}",
        "birthday": f"{random.randrange(1940, 2010)}-{random.randrange(1, 13):02}-{random.randrange(1, 29):02}",
        "created_at": signed_up,
        "updated_at": signed_up,
        "sessions": [
            each | session | {"id": secrets.token_hex(12), "salt": secrets.token_bytes(16)}
            for each in model["sessions"]
        ],
    }


def _event() -> dict[str, Any]:
    """Return a row as `pixora.accounts.audit` writes it for a login."""
    return {
        "_id": ObjectId(),
        "user_id": f"{random.getrandbits(96):024x}",
        "event": "login",
        "at": datetime.now(UTC),
        "network": f"203.0.113.{random.randrange(256)}",
        "request_id": secrets.token_hex(16),
        "details": {"session_id": secrets.token_hex(12)},
    }


def _insert(collection: Any, documents: Iterable[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for document in documents:
        batch.append(document)
        if len(batch) == BATCH:
            collection.insert_many(batch, ordered=False)
            batch = []
    collection.insert_many(batch, ordered=False) if batch else None


def _sizes(collection: Any) -> dict[str, Any]:
    """Return bytes for each document: in memory, on disk, and in each index."""
    stats = collection.database.command("collStats", collection.name)
    count = stats["count"]
    indexes = {name: size / count for name, size in stats["indexSizes"].items()}
    return {"document": stats["avgObjSize"], "disk": stats["storageSize"] / count, "indexes": indexes}


def _cpu(connection: http.client.HTTPConnection, read_clocks: Clocks) -> dict[str, list[float]]:
    """Return the CPU seconds that mongod and the service take for a request of each kind."""
    began = read_clocks()
    time.sleep(IDLE_SECONDS)
    idle = [(after - before) / IDLE_SECONDS for before, after in zip(began, read_clocks(), strict=True)]
    grants: list[dict[str, str]] = []

    def log_in(index: int) -> None:
        form = urlencode({"username": f"user{index}@example.com", "password": PASSWORD})
        grants.append(json.loads(_ask(connection, "POST", "/api/auth/login", form, FORM)))

    def refresh(index: int) -> None:
        form = urlencode({"grant_type": "refresh_token", "refresh_token": grants[index]["refresh_token"]})
        _ask(connection, "POST", "/api/auth/refresh", form, FORM)

    def read(index: int) -> None:
        bearer = {"Authorization": f"Bearer {grants[index]['access_token']}"}
        _ask(connection, "GET", "/api/users/me", None, bearer)

    kinds: dict[str, Callable[[int], None]] = {"login": log_in, "refresh": refresh, "GET /me": read}
    return {name: _seconds_each(read_clocks, kind, idle) for name, kind in kinds.items()}


def _seconds_each(read_clocks: Clocks, request: Callable[[int], None], idle: list[float]) -> list[float]:
    began, before = time.monotonic(), read_clocks()
    for index in range(REQUESTS):
        request(index)
    took = time.monotonic() - began
    return [
        (after - at_first - resting * took) / REQUESTS
        for at_first, after, resting in zip(before, read_clocks(), idle, strict=True)
    ]


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> bytes:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    assert response.status in (200, 201), answer
    return answer


def report(result: dict[str, Any]) -> str:
    """Return the tables."""
    sizes = table(["bytes each", "in memory", "on disk", "indexes"], _rows(result))
    costs = [[name, *(f"{seconds * 1e6:.0f}" for seconds in both)] for name, both in result["cpu"].items()]
    return f"{sizes}\n\n{table(['a request', 'CPU of mongod, µs', 'CPU of Pixora, µs'], costs)}"


def _rows(result: dict[str, Any]) -> Iterator[list[str]]:
    for name in ("users", "audit"):
        found = result[name]
        indexes = ", ".join(f"{index} {size:.0f}" for index, size in found["indexes"].items())
        yield [name, f"{found['document']:.0f}", f"{found['disk']:.0f}", indexes]
