"""The footprint of one worker: the time to its first answer, and its memory after a load of logins and reads."""

from typing import Any

import bcrypt

from benchmarks.figures import ratio, spread, table
from benchmarks.load import log_in, read
from benchmarks.servers import (
    FASTAPI_MOTOR,
    FASTAPI_USERS,
    FIRST,
    HELLO_GUNICORN,
    HELLO_UVICORN,
    PIXORA,
    Bench,
    seed,
    started,
)
from tests.factories import PASSWORD

SERVICES = (PIXORA, FASTAPI_MOTOR, FASTAPI_USERS, HELLO_GUNICORN, HELLO_UVICORN)
USERS = 20
SECONDS = 2
ROUNDS = 3


def run(bench: Bench) -> dict[str, Any]:
    """Return for each service the seconds to the first answer and the bytes of memory with the master, by round."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    emails = [seed(bench, service, f"footprint_{index}", USERS, hashed) for index, service in enumerate(SERVICES)]
    result: dict[str, Any] = {service.name: {"start": [], "rss": [], "pss": []} for service in SERVICES}
    for _ in range(ROUNDS):
        for index, service in enumerate(SERVICES):
            with started(bench, service, f"footprint_{index}", cores=FIRST, BCRYPT_ROUNDS="4") as server:
                tokens = bench.folder / "footprint.tokens"
                hello = service in (HELLO_GUNICORN, HELLO_UVICORN)
                tokens.write_text("none" if hello else "\n".join(log_in(server, email) for email in emails[index]))
                read(server.url, tokens, SECONDS)
                usage = server.usage()
            found = result[service.name]
            found["start"].append(server.start_seconds)
            found["rss"].append(usage.rss)
            found["pss"].append(usage.pss)
    return result


def report(result: dict[str, Any]) -> str:
    """Return the table."""

    def megabytes(size: float) -> str:
        return f"{size / 1e6:.0f}"

    ours = result[PIXORA.name]
    rows = [
        [
            name,
            spread(found["start"], "{:.2f} s".format),
            ratio(ours["start"], found["start"]),
            spread(found["rss"], megabytes),
            spread(found["pss"], megabytes),
            ratio(ours["pss"], found["pss"]),
        ]
        for name, found in result.items()
    ]
    head = ["one worker", "first answer after", "Pixora's to it", "RSS, MB", "PSS, MB", "Pixora's to it"]
    return table(head, rows)
