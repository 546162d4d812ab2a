"""GET /api/users/me on one core: throughput, and the server's CPU for a request.

Each server uses the first core; wrk and mongod share the second. All servers run at the same time, but only one is
loaded at a time, in turn, over several rounds. The tokens of a hundred users are sent in turn. Pixora caches verified
tokens, so it is measured again with so many tokens that none is in the cache.
"""

import uuid
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import bcrypt
import jwt

from benchmarks.figures import ratio, spread, table
from benchmarks.load import log_in, read
from benchmarks.servers import (
    CORES,
    FASTAPI_MOTOR,
    FASTAPI_USERS,
    FIRST,
    HELLO_GUNICORN,
    HELLO_UVICORN,
    JWT_SECRET,
    PIXORA,
    SECOND,
    Bench,
    Server,
    bind,
    seed,
    started,
)
from pixora.tokens.access import MAX_CACHED
from tests.factories import PASSWORD

ROUNDS = 5
SECONDS = 3
USERS = 100
NEVER_SEEN = "Pixora, tokens it has not seen"


def run(bench: Bench) -> dict[str, Any]:
    """Return for each service the requests a second and the CPU seconds a request, by round."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    bind(bench.mongod.pid, SECOND)
    try:
        with ExitStack() as stack:
            runs: dict[str, tuple[Server, Path]] = {}
            for service in (PIXORA, FASTAPI_MOTOR, FASTAPI_USERS, HELLO_GUNICORN, HELLO_UVICORN):
                database = f"me_{len(runs)}"
                emails = seed(bench, service, database, USERS, hashed)
                server = stack.enter_context(started(bench, service, database, cores=FIRST, BCRYPT_ROUNDS="4"))
                hello = service in (HELLO_GUNICORN, HELLO_UVICORN)
                tokens = ["none"] if hello else [log_in(server, email) for email in emails]
                runs[service.name] = server, _file(bench, service.name, tokens)
                if service is PIXORA:
                    runs[NEVER_SEEN] = server, _file(bench, NEVER_SEEN, _others(tokens))
            for server, file in runs.values():
                read(server.url, file, 1, cores=SECOND)
            result: dict[str, Any] = {name: {"rate": [], "cpu": [], "errors": 0} for name in runs}
            for _ in range(ROUNDS):
                for name, (server, file) in runs.items():
                    before = server.cpu()
                    reads = read(server.url, file, SECONDS, cores=SECOND)
                    result[name]["cpu"].append((server.cpu() - before) / reads.requests)
                    result[name]["rate"].append(reads.rate)
                    result[name]["errors"] += reads.errors
        return result
    finally:
        bind(bench.mongod.pid, set(CORES))


def _file(bench: Bench, name: str, tokens: list[str]) -> Path:
    path = bench.folder / f"{name}.tokens"
    path.write_text("\n".join(tokens))
    return path


def _others(tokens: list[str]) -> list[str]:
    """Return other tokens of the same sessions, so many that each has left the cache when its turn comes again."""
    return [
        jwt.encode(
            jwt.decode(token, options={"verify_signature": False}) | {"jti": str(uuid.uuid4())},
            JWT_SECRET,
            headers=jwt.get_unverified_header(token),
        )
        for _ in range(MAX_CACHED // len(tokens) + 2)
        for token in tokens
    ]


def report(result: dict[str, Any]) -> str:
    """Return the tables."""
    ours = result[PIXORA.name]
    rows = [
        [
            name,
            spread(runs["rate"], "{:.0f}".format),
            spread(runs["cpu"], lambda seconds: f"{seconds * 1e6:.0f}"),
            ratio(ours["rate"], runs["rate"]),
            ratio(ours["cpu"], runs["cpu"]),
            str(runs["errors"]),
        ]
        for name, runs in result.items()
    ]
    head = ["service", "requests a second", "CPU a request, µs", "Pixora's rate to it", "Pixora's CPU to it", "errors"]
    motor = result[FASTAPI_MOTOR.name]
    rate = median(ours["rate"]) / median(motor["rate"])
    cpu = median(ours["cpu"]) / median(motor["cpu"])
    return f"{table(head, rows)}\n\nAgainst {FASTAPI_MOTOR.name}: rate {rate:.2f}, CPU {cpu:.2f}."
