"""`users import` with a hundred thousand users.

They have hashes of four kinds, names in three scripts and telephone numbers of three countries; one line in a thousand
is refused. The import runs once completely, then again with all users present, and then into another database, where it
is killed after a third and run again.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import table
from benchmarks.servers import JWT_SECRET, ROOT, Bench
from tests.factories import HASH_2B, PHC_HASHES

USERS = 100_000
REFUSED_EVERY = 1_000
NAMES = ("Ada", "José", "Søren", "Zoë", "Дарья", "小明", "Grace", "Wilhelmina")


def run(bench: Bench) -> dict[str, Any]:
    """Return duration and outcome of each run."""
    path = bench.folder / "users.jsonl"
    _write(path)
    whole = [*_command(path, "--rejects", "/dev/null")]
    result = {"megabytes": path.stat().st_size / 1e6, "first": _run(bench, "importing", whole)}
    result["again"] = _run(bench, "importing", whole)
    resumable = [*whole, "--checkpoint", str(bench.folder / "checkpoint")]
    _kill_after(bench, "killed", resumable, USERS // 3)
    result["after kill -9"] = _run(bench, "killed", resumable)
    result["there"] = [bench.mongo[name]["users"].count_documents({}) for name in ("importing", "killed")]
    return result


def _write(path: Path) -> None:
    chosen = random.Random(6)
    hashes = (HASH_2B, *PHC_HASHES[:3])
    with path.open("w") as file:
        for number in range(USERS):
            record = {
                "first_name": chosen.choice(NAMES),
                "last_name": f"{chosen.choice(NAMES)}-{number}",
                "email": f"User.{number}@example{number % 100}.com" if number % REFUSED_EVERY else "nobody",
                "contact": chosen.choice(
                    (
                        f"+44 20 7946 {chosen.randrange(10_000):04}",
                        f"+4930{chosen.randrange(10**6, 10**7)}",
                        f"+1 650 253 {chosen.randrange(10_000):04}",
                    )
                ),
                "birthday": f"{chosen.randrange(1930, 2010)}-0{chosen.randrange(1, 10)}-1{chosen.randrange(10)}",
                "password_hash": hashes[number % len(hashes)],
                "created_at": f"2019-04-0{chosen.randrange(1, 10)}T12:00:00Z",
            }
            print(json.dumps(record, ensure_ascii=False), file=file)


def _command(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "flask", "--app", "wsgi", "users", "import", str(path), "--json", *options]


def _start(bench: Bench, database: str, command: list[str]) -> subprocess.Popen[bytes]:
    settings = {
        "PIXORA_ENV": "development",
        "MONGO_URI": bench.mongod.uri(database),
        "SECRET_KEY": JWT_SECRET[::-1],
        "JWT_SECRET_KEY": JWT_SECRET,
    }
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def _run(bench: Bench, database: str, command: list[str]) -> dict[str, Any]:
    began = time.monotonic()
    process = _start(bench, database, command)
    assert process.stdout
    printed = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return printed | {
        "seconds": time.monotonic() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss / 1024,
        "status": process.returncode,
    }


def _kill_after(bench: Bench, database: str, command: list[str], number: int) -> None:
    process = _start(bench, database, command)
    users = bench.mongo[database]["users"]
    while users.estimated_document_count() < number:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def report(result: dict[str, Any]) -> str:
    """Return the table and a summary."""
    names = ("first", "again", "after kill -9")
    rows = [
        [
            name,
            f"{(ran := result[name])['seconds']:.1f}",
            f"{ran['cpu']:.1f}",
            f"{ran['megabytes']:.0f}",
            *(f"{ran[outcome]:,}" for outcome in ("imported", "already_there", "refused")),
        ]
        for name in names
    ]
    a_minute = USERS / result["first"]["seconds"] * 60
    wanted = USERS - USERS // REFUSED_EVERY
    return (
        f"{table(['run', 'seconds', 'of CPU', 'MB', 'imported', 'there already', 'refused'], rows)}\n\n"
        f"{a_minute:,.0f} users per minute, from a file of {result['megabytes']:.0f} MB. The counts of the run after "
        f"kill -9 are of both runs. Every user was imported exactly once: "
        f"{'yes' if result['there'] == [wanted, wanted] else 'NO'}."
    )
