"""Run all benchmarks, or those that are named, and write the report.

    benchmarks/run            all, in a quarter of an hour
    benchmarks/run me storm   only these; the other results stay
    benchmarks/run report     only write the report again

Everything runs on this machine with its own mongod. The results are stored in `benchmarks/results.json`, from which
`results.md` and `results.png` are made.
"""

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    crowd,
    database,
    equal_time,
    footprint,
    importing,
    listing,
    login,
    me,
    observing,
    passkeys,
    report,
    scale,
    slow,
    storm,
    upgrading,
    worst,
)
from benchmarks.servers import bench

PARTS: dict[str, Any] = {
    part.__name__.split(".")[1]: part
    for part in (
        me,
        observing,
        login,
        storm,
        passkeys,
        crowd,
        slow,
        worst,
        scale,
        database,
        footprint,
        equal_time,
        upgrading,
        importing,
        listing,
    )
}


def main() -> None:
    options = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__.split("\n")[0])
    options.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}, report; by default all")
    wanted = options.parse_args().parts or list(PARTS)
    if unknown := set(wanted) - {*PARTS, "report"}:
        options.error(f"there is no {', '.join(unknown)}")
    machine = report.machine()
    for name in wanted:
        if name == "report":
            continue
        print(f"== {name}", flush=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, bench(Path(folder)) as here:
            result = PARTS[name].run(here)
        print(PARTS[name].report(result), f"\n({time.monotonic() - began:.0f} s)\n", flush=True)
        report.keep(machine, name, datetime.now(UTC).date().isoformat(), json.loads(json.dumps(result)))
    report.write(PARTS)


if __name__ == "__main__":
    main()
