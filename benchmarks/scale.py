"""Latency with a thousand and with a million users: logins at bcrypt's lowest cost, and GET /api/users/me.

One client sends one request at a time for random users, to two databases in turn. They are on one mongod with a cache
of a quarter of a gigabyte.
"""

import http.client
import random
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import bcrypt
import bson
from bson.raw_bson import RawBSONDocument

from benchmarks.figures import median, table
from benchmarks.load import FORM, ask
from benchmarks.servers import FIRST, PIXORA, Bench, started
from tests.factories import PASSWORD, fastapi_user

NUMBERS = (1_000, 1_000_000)
LOGINS = 500
READS_EACH = 4
BATCH = 20_000
ID, EMAIL = "f" * 24, "user0000000@example.com"


def run(bench: Bench) -> dict[str, Any]:
    """Return the median latencies in seconds, by number of users and by request."""
    result: dict[str, dict[str, list[float]]] = {str(number): {"login": [], "me": []} for number in NUMBERS}
    with ExitStack() as stack:
        connections = {}
        for number in NUMBERS:
            database = f"scale_{number}"
            _seed(bench, database, number)
            server = stack.enter_context(started(bench, PIXORA, database, cores=FIRST, BCRYPT_ROUNDS="4"))
            connections[number] = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for turn in range(-LOGINS // 10, LOGINS):  # the first requests warm up
            for number, connection in connections.items():
                login, tokens = ask(connection, "POST", "/api/auth/login", _form(number), FORM)
                bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
                reads = [ask(connection, "GET", "/api/users/me", None, bearer)[0] for _ in range(READS_EACH)]
                if turn >= 0:
                    result[str(number)]["login"].append(login)
                    result[str(number)]["me"] += reads
    return {
        number: {what: median(seconds) for what, seconds in latencies.items()} for number, latencies in result.items()
    }


def _form(number: int) -> str:
    return urlencode({"username": _email(random.randrange(number)), "password": PASSWORD})


def _email(index: int) -> str:
    return f"user{index:07}@example.com"


def _seed(bench: Bench, database: str, number: int) -> None:
    """Store `number` users, and create the index that the service would create."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    users = bench.mongo[database]["users"]
    # Encoded once: two fields of a fixed length are all that differs.
    template = bson.encode(fastapi_user(_id=ID, email=EMAIL, password=hashed))
    for first in range(0, number, BATCH):
        users.insert_many(
            (
                RawBSONDocument(
                    template.replace(ID.encode(), b"%024x" % random.getrandbits(96), 1).replace(
                        EMAIL.encode(), _email(index).encode(), 1
                    )
                )
                for index in range(first, min(first + BATCH, number))
            ),
            ordered=False,
        )
    users.create_index("email", name="email_1", unique=True)


def report(result: dict[str, Any]) -> str:
    """Return the table."""
    few, many = (result[str(number)] for number in NUMBERS)
    rows = []
    for what, name in (("login", "login, cost 4"), ("me", "GET /me")):
        half = [few[what], many[what]]
        rows.append([name, *(f"{seconds * 1000:.2f} ms" for seconds in half), f"{half[1] / half[0]:.2f}"])
    head = ["p50", *(f"{number:,} users" for number in NUMBERS), "ratio"]
    return table(head, rows)
