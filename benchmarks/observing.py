"""The cost of metrics and of the log line of each request: GET /api/users/me with and without them.

The same service runs twice on one core, wrk and mongod on the other; one of them is loaded at a time, in turn. The
lines go to a file.
"""

from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import bcrypt

from benchmarks.figures import spread, table
from benchmarks.load import log_in, read
from benchmarks.servers import CORES, FIRST, PIXORA, SECOND, UNOBSERVED, Bench, Server, bind, seed, started
from tests.factories import PASSWORD

ROUNDS = 40
SECONDS = 1
USERS = 100


def run(bench: Bench) -> dict[str, Any]:
    """Return the CPU seconds a request with and without them, by round."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    emails = seed(bench, PIXORA, "observing", USERS, hashed)
    bind(bench.mongod.pid, SECOND)
    try:
        with ExitStack() as stack:
            runs: dict[str, tuple[Server, Path]] = {}
            for service in (PIXORA, UNOBSERVED):
                server = stack.enter_context(started(bench, service, "observing", cores=FIRST, BCRYPT_ROUNDS="4"))
                file = bench.folder / f"{service.name}.tokens"
                file.write_text("\n".join(log_in(server, email) for email in emails))
                runs[service.name] = server, file
                read(server.url, file, 1, cores=SECOND)
            cpu: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(ROUNDS):
                for name, (server, file) in runs.items():
                    before = server.cpu()
                    reads = read(server.url, file, SECONDS, cores=SECOND)
                    cpu[name].append((server.cpu() - before) / reads.requests)
        return {"with": cpu[PIXORA.name], "without": cpu[UNOBSERVED.name]}
    finally:
        bind(bench.mongod.pid, set(CORES))


def report(result: dict[str, Any]) -> str:
    """Return the table."""
    each = [mine / other - 1 for mine, other in zip(result["with"], result["without"], strict=True)]
    share = median(each)

    def write(seconds: float) -> str:
        return f"{seconds * 1e6:.0f}"

    rows = [[name, spread(result[name], write)] for name in ("with", "without")]
    return (
        f"{table(['GET /me', 'CPU a request, µs'], rows)}\n\nMetrics and log lines: {share:.1%} more, in the median of "
        f"the rounds ({min(each):.1%} to {max(each):.1%})."
    )
