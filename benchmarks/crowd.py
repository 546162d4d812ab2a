"""A crowd: 500 clients, each with its own IP address, log in without a pause through the shipped nginx.

nginx limits each client, so a storm takes many clients. Another client reads profiles through the same nginx. The
program that plays the crowd runs on the same cores; the table shows how much CPU it takes.
"""

import time
from typing import Any

import bcrypt

from benchmarks.figures import alone_note, median, ratio, spread, table
from benchmarks.load import READERS, Storm, bcrypt_ceiling, log_in, read
from benchmarks.servers import PIXORA, Bench, seed, started
from tests.factories import PASSWORD
from tests.system.conftest import running_nginx

CLIENTS = 500
COST = 12
LEAD = 4
READ_SECONDS = 5
BESIDE_SECONDS = 10
ROUNDS = 3
STATUSES = (200, 503, 429)


def run(bench: Bench) -> dict[str, Any]:
    """Return the results of readers and crowd by round, with the crowd's answers a second by status."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode()
    emails = seed(bench, PIXORA, "crowd", CLIENTS + READERS, hashed)
    readers, crowd = emails[:READERS], emails[READERS:]
    # All of 127.0.0.0/8 is this machine. The readers use 127.0.0.1.
    addresses = [f"127.1.{index // 250}.{index % 250 + 1}" for index in range(CLIENTS)]
    found: dict[str, Any] = {name: [] for name in ("alone", "beside", "p99", "errors", "longest", "cpu", "ceiling")}
    found["statuses"] = {str(status): [] for status in (*STATUSES, "other")}
    with started(bench, PIXORA, "crowd", PROXY_COUNT="1") as server, running_nginx(bench.folder, server.port) as port:
        tokens = bench.folder / "crowd.tokens"
        tokens.write_text("\n".join(log_in(server, email) for email in readers))
        url = f"http://127.0.0.1:{port}"
        read(url, tokens, 1)
        for _ in range(ROUNDS):
            found["ceiling"].append(bcrypt_ceiling(3, COST))
            found["alone"].append(read(url, tokens, READ_SECONDS).rate)
            storm = Storm(port, crowd, addresses)
            before = time.process_time()
            with storm.beside(LEAD + BESIDE_SECONDS + 1, lead=LEAD):
                reads = read(url, tokens, BESIDE_SECONDS)
                seconds = LEAD + BESIDE_SECONDS
                found["cpu"].append((time.process_time() - before) / seconds)
            found["beside"].append(reads.rate)
            found["p99"].append(reads.p99)
            found["errors"].append(reads.errors)
            found["longest"].append(storm.longest())
            for status in STATUSES:
                found["statuses"][str(status)].append(storm.rate(status, LEAD))
            found["statuses"]["other"].append((len(storm.answers) - storm.count(*STATUSES)) / seconds)
    return found


def report(found: dict[str, Any]) -> str:
    """Return the table and a summary."""
    kept = median(found["beside"]) / median(found["alone"])
    longest = median(found["longest"])
    rows = [
        ["reads a second, undisturbed", spread(found["alone"], "{:.0f}".format)],
        ["reads a second, beside the crowd", spread(found["beside"], "{:.0f}".format)],
        ["ratio", ratio(found["beside"], found["alone"])],
        ["p99 of a read beside the crowd", spread(found["p99"], lambda seconds: f"{seconds * 1000:.0f} ms")],
        ["failed reads", str(sum(found["errors"]))],
        ["logins, of bcrypt's ceiling", ratio(found["statuses"]["200"], found["ceiling"])],
        *(
            [f"answers of status {status} a second", spread(rates, "{:.1f}".format)]
            for status, rates in found["statuses"].items()
        ),
        ["longest answer", spread(found["longest"], "{:.1f} s".format)],
        ["cores that the crowd's own program took", spread(found["cpu"], "{:.2f}".format)],
    ]
    return (
        f"{table(['500 clients through nginx', 'median (spread)'], rows)}\n\nPixora: reads {kept:.2f} of undisturbed, "
        f"longest answer {longest:.1f} s."
        f"{alone_note(found['ceiling'])}"
    )
