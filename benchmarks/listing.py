"""The first page of the administrators' list among a million users, for each filter.

One client, one request at a time. Of the users, one in a hundred is disabled, seven in ten have verified their address,
and one in a thousand is an administrator; one was created every two minutes. "First page" includes the authentication
of the administrator and, where there are more users than on the page, the count up to a thousand; "exact total" is the
same with `total=true`.
"""

import http.client
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import bcrypt

from benchmarks.figures import median, table
from benchmarks.load import FORM, ask
from benchmarks.servers import FIRST, PIXORA, Bench, started
from pixora.accounts.users import INDEXES
from tests.factories import PASSWORD, fastapi_user

DATABASE = "listing"
USERS = 1_000_000
REQUESTS = 30
BATCH = 20_000
ADMIN = "administrator@example.com"
START = datetime(2021, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=2)
LATE = START + USERS * STEP * 9 // 10

FILTERS = {
    "none": {},
    "role=admin": {"role": "admin"},
    "role=user": {"role": "user"},
    "disabled=true": {"disabled": "true"},
    "disabled=false": {"disabled": "false"},
    "email_verified=true": {"email_verified": "true"},
    "email_verified=false": {"email_verified": "false"},
    "created_after": {"created_after": f"{LATE:%Y-%m-%dT%H:%M:%SZ}"},
    "created_before": {"created_before": f"{LATE:%Y-%m-%dT%H:%M:%SZ}"},
    "email": {"email": "user07"},
    "disabled=true, email_verified=false": {"disabled": "true", "email_verified": "false"},
    "disabled=true, created_after": {"disabled": "true", "created_after": f"{LATE:%Y-%m-%dT%H:%M:%SZ}"},
    "role=admin, disabled=true": {"role": "admin", "disabled": "true"},
}


def run(bench: Bench) -> dict[str, Any]:
    """Return for each filter the seconds of the first pages, and of one with an exact total."""
    _seed(bench)
    result: dict[str, Any] = {}
    with started(bench, PIXORA, DATABASE, cores=FIRST, BCRYPT_ROUNDS="4", DATABASE_TIMEOUT_MS="30000") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        form = urlencode({"username": ADMIN, "password": PASSWORD})
        _, login = ask(connection, "POST", "/api/auth/login", form, FORM)
        bearer = {"Authorization": f"Bearer {login['access_token']}"}
        for name, query in FILTERS.items():
            path = f"/api/admin/users?{urlencode(query)}"
            pages = [ask(connection, "GET", path, None, bearer)[0] for _ in range(REQUESTS + 3)][3:]
            exact, page = ask(connection, "GET", f"{path}&total=true", None, bearer)
            result[name] = {"pages": pages, "exact": exact, "total": page["total"]}
    return result


def _seed(bench: Bench) -> None:
    """Store the users and one administrator, with the indexes of the service."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    users = bench.mongo[DATABASE]["users"]
    users.insert_one(fastapi_user(email=ADMIN, password=hashed, roles=["user", "admin"], email_verified=True))
    random.seed(1)
    for first in range(0, USERS, BATCH):
        users.insert_many((_user(number, hashed) for number in range(first, first + BATCH)), ordered=False)
    users.create_indexes([*INDEXES["users"]])


def _user(number: int, hashed: str) -> dict[str, Any]:
    created_at = START + number * STEP
    user = fastapi_user(
        email=f"user{number:07}@example.com",
        password=hashed,
        created_at=created_at,
        updated_at=created_at,
        email_verified=random.random() < 0.7,
        roles=["user", "admin"] if random.random() < 0.001 else ["user"],
    )
    if random.random() < 0.01:
        user["disabled"] = True
    return user


def report(result: dict[str, Any]) -> str:
    """Return the table."""
    rows = [
        [
            name,
            f"{one['total']:,}",
            f"{median(one['pages']) * 1000:.1f} ms",
            f"{max(one['pages']) * 1000:.1f} ms",
            f"{one['exact'] * 1000:.0f} ms",
        ]
        for name, one in result.items()
    ]
    return table(["filter", "users", "first page, p50", "longest", "with exact total"], rows)
