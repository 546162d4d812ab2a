"""Logins a second by eight independent clients, relative to what bcrypt alone achieves on all cores.

Pixora's hashing queue has room for eight, so hardly any login is refused. bcrypt is measured in the same run.
"""

from contextlib import ExitStack
from typing import Any

import bcrypt

from benchmarks.figures import alone_note, median, ratio, spread, table
from benchmarks.load import Storm, bcrypt_ceiling
from benchmarks.servers import FASTAPI_MOTOR, FASTAPI_USERS, PIXORA, Bench, Server, seed, started
from tests.factories import PASSWORD

CLIENTS = 8
COST = 12
ROUNDS = 3
SECONDS = 8
CEILING = "bcrypt alone"


def run(bench: Bench) -> dict[str, Any]:
    """Return for bcrypt alone and for each service the logins a second by round, and the refusals."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode()
    with ExitStack() as stack:
        runs: dict[str, tuple[Server, list[str]]] = {}
        for service in (PIXORA, FASTAPI_MOTOR, FASTAPI_USERS):
            database = f"login_{len(runs)}"
            emails = seed(bench, service, database, CLIENTS, hashed)
            runs[service.name] = stack.enter_context(started(bench, service, database)), emails
        result: dict[str, Any] = {name: {"rate": [], "refused": 0} for name in (CEILING, *runs)}
        for _ in range(ROUNDS):
            result[CEILING]["rate"].append(bcrypt_ceiling(SECONDS / 2, COST))
            for name, (server, emails) in runs.items():
                storm = Storm(server.port, emails)
                storm.run(SECONDS)
                result[name]["rate"].append(storm.rate_to_the_last(200))
                result[name]["refused"] += len(storm.answers) - storm.count(200)
    return result


def report(result: dict[str, Any]) -> str:
    """Return the table."""
    ceiling = result[CEILING]["rate"]
    rows = [
        [name, spread(runs["rate"], "{:.2f}".format), ratio(runs["rate"], ceiling), str(runs["refused"])]
        for name, runs in result.items()
    ]
    of_ceiling = median(result[PIXORA.name]["rate"]) / median(ceiling)
    return (
        f"{table(['', 'logins a second', 'of the ceiling', 'refused'], rows)}\n\n"
        f"Pixora: {of_ceiling:.2f} of the ceiling.{alone_note(ceiling)}"
    )
