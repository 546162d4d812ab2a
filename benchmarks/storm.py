"""A storm: 64 clients log in without a pause and ignore Retry-After; the effect on them and on readers.

Eight clients read their profiles during the storm. Services and load programs share all cores of the machine. Rates
with and without the storm are measured in turn.
"""

from typing import Any

import bcrypt

from benchmarks.figures import alone_note, ratio, spread, table
from benchmarks.load import READERS, Storm, bcrypt_ceiling, log_in, read
from benchmarks.servers import FASTAPI_MOTOR, FASTAPI_USERS, PIXORA, Bench, Service, seed, started
from tests.factories import PASSWORD

CLIENTS = 64
COST = 12
LEAD = 3
CEILING_SECONDS = 3
READ_SECONDS = 5
STORM_SECONDS = 15
BESIDE_SECONDS = 8
ROUNDS = {PIXORA.name: 5}
"""The other services collapse, which one round shows. In some rounds all readers are on one worker, which halves their
rate, with or without the storm: the median of five excludes these."""


def run(bench: Bench) -> dict[str, Any]:
    """Return for each service the results of the clients, and the rate of bcrypt alone, by round."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode()
    services = (PIXORA, FASTAPI_MOTOR, FASTAPI_USERS)
    return {service.name: _measure(bench, service, f"storm_{at}", hashed) for at, service in enumerate(services)}


def _measure(bench: Bench, service: Service, database: str, hashed: str) -> dict[str, Any]:
    names = (
        "ceiling",
        "alone",
        "beside",
        "p99",
        "errors",
        "logins",
        "longest",
        "logins_beside",
        "longest_beside",
        "other",
    )
    found: dict[str, Any] = {name: [] for name in names}
    emails = seed(bench, service, database, CLIENTS + READERS, hashed)
    readers, stormers = emails[:READERS], emails[READERS:]
    with started(bench, service, database) as server:
        tokens = bench.folder / f"{database}.tokens"
        tokens.write_text("\n".join(log_in(server, email) for email in readers))
        read(server.url, tokens, 1)
        for _ in range(ROUNDS.get(service.name, 1)):
            found["ceiling"].append(bcrypt_ceiling(CEILING_SECONDS, COST))
            found["alone"].append(read(server.url, tokens, READ_SECONDS).rate)
            alone = Storm(server.port, stormers)
            alone.run(STORM_SECONDS)
            found["logins"].append(alone.rate_to_the_last(200))
            found["longest"].append(alone.longest())
            beside = Storm(server.port, stormers)
            with beside.beside(LEAD + BESIDE_SECONDS + 1, lead=LEAD):
                reads = read(server.url, tokens, BESIDE_SECONDS)
            found["beside"].append(reads.rate)
            found["p99"].append(reads.p99)
            found["errors"].append(reads.errors)
            found["logins_beside"].append(beside.rate(200, LEAD))
            found["longest_beside"].append(beside.longest())
            found["other"].append(sum(len(storm.answers) - storm.count(200, 503) for storm in (alone, beside)))
    return found


def report(result: dict[str, Any]) -> str:
    """Return the table."""
    rows = [
        [
            name,
            ratio(found["logins"], found["ceiling"]),
            spread(found["longest"], "{:.1f} s".format),
            spread(found["alone"], "{:.0f}".format),
            spread(found["beside"], "{:.0f}".format),
            ratio(found["beside"], found["alone"]),
            spread(found["p99"], lambda seconds: f"{seconds * 1000:.0f} ms"),
            str(sum(found["errors"])),
            ratio(found["logins_beside"], found["ceiling"]),
            str(sum(found["other"])),
        ]
        for name, found in result.items()
    ]
    head = [
        "service",
        "logins, of the ceiling",
        "longest answer",
        "reads a second, undisturbed",
        "beside the storm",
        "ratio",
        "p99 of those answered",
        "failed reads",
        "logins beside readers, of the ceiling",
        "neither 200 nor 503",
    ]
    ours = result[PIXORA.name]
    ceilings = [rate for found in result.values() for rate in found["ceiling"]]
    longest = max(*ours["longest"], *ours["longest_beside"])
    return (
        f"bcrypt's ceiling: {spread(ceilings, '{:.2f}'.format)} a second.{alone_note(ceilings)}\n\n"
        f"{table(head, rows)}\n\n"
        f"The longest answer of Pixora, with and without readers, took {longest:.1f} s."
    )
