"""Taking over the database of the FastAPI version: `db upgrade` and `doctor` with a million users.

All e-mail addresses are in mixed case, and there is no index. Meanwhile the FastAPI version is in use: a client signs
up a user, in mixed case, every ten milliseconds.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from typing import Any

import bson
import pymongo
from bson.raw_bson import RawBSONDocument

from benchmarks.figures import median, table
from benchmarks.servers import JWT_SECRET, ROOT, Bench
from tests.factories import HASH_2B, fastapi_user

USERS = 1_000_000
BATCH = 20_000
ID, EMAIL = "f" * 24, "User.Number0000000@Example.com"
PAUSE_SECONDS = 0.01


class OldService(threading.Thread):
    """Signs up one user after the other, and records the seconds of each."""

    def __init__(self, uri: str) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self._users = pymongo.MongoClient[dict[str, Any]](uri).get_default_database()["users"]
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sign up."""
        while not self._stopped.wait(PAUSE_SECONDS):
            began = time.perf_counter()
            self._users.insert_one(fastapi_user(email=f"Late.Number{len(self.seconds)}@Example.com"))
            self.seconds.append(time.perf_counter() - began)

    def stop(self) -> None:
        """Wait for the last sign-up."""
        self._stopped.set()
        self.join()
        self._users.database.client.close()


def run(bench: Bench) -> dict[str, Any]:
    """Return duration and outcome of each command, and its effect on the FastAPI version."""
    uri = bench.mongod.uri("upgrading")
    _seed(bench)
    result: dict[str, Any] = {"doctor before": _command(uri, "doctor")}
    service = OldService(uri)
    service.start()
    time.sleep(3)
    undisturbed = len(service.seconds)
    result["db upgrade"] = _command(uri, "db", "upgrade")
    service.stop()
    result["signed up"] = {
        "undisturbed": _felt(service.seconds[:undisturbed]),
        "beside the upgrade": _felt(service.seconds[undisturbed:]),
    }
    result["db upgrade, after the switch"] = _command(uri, "db", "upgrade")
    result["doctor after"] = _command(uri, "doctor")
    users = bench.mongo["upgrading"]["users"]
    result["left in mixed case"] = users.count_documents({"email": {"$regex": "[A-Z]"}})
    result["lost"] = USERS + len(service.seconds) - users.count_documents({})
    return result


def _seed(bench: Bench) -> None:
    users = bench.mongo["upgrading"]["users"]
    user = fastapi_user(_id=ID, email=EMAIL, password=HASH_2B.replace("$04$", "$12$"))
    template = bson.encode(user)  # once: two fields of a fixed length are all that differs
    # Ids as the FastAPI version made them, over four years, in order.
    seconds = sorted(random.randrange(1_560_000_000, 1_690_000_000) for _ in range(USERS))
    for first in range(0, USERS, BATCH):
        users.insert_many(
            (
                RawBSONDocument(
                    template.replace(ID.encode(), b"%08x%016x" % (seconds[index], random.getrandbits(64)), 1).replace(
                        EMAIL.encode(), b"User.Number%07d@Example.com" % index, 1
                    )
                )
                for index in range(first, first + BATCH)
            ),
            ordered=False,
        )


def _command(uri: str, *arguments: str) -> dict[str, Any]:
    """Run a command; return its seconds, CPU seconds, exit status and changes."""
    settings = {"PIXORA_ENV": "development", "MONGO_URI": uri, "SECRET_KEY": "x", "JWT_SECRET_KEY": JWT_SECRET}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "wsgi", *arguments, "--json"],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    printed = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "seconds": time.monotonic() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "status": process.returncode,
        "changed": printed["addresses"]["changed"] if "addresses" in printed else None,
    }


def _felt(seconds: list[float]) -> dict[str, Any]:
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50": median(ordered),
        "p99": ordered[int(len(ordered) * 0.99)],
        "longest": ordered[-1],
    }


def report(result: dict[str, Any]) -> str:
    """Return the tables."""
    commands = ["doctor before", "db upgrade", "db upgrade, after the switch", "doctor after"]
    rows = [
        [
            name,
            f"{ran['seconds']:.1f}",
            f"{ran['cpu']:.1f}",
            "" if ran["changed"] is None else f"{ran['changed']:,}",
            str(ran["status"]),
        ]
        for name in commands
        for ran in [result[name]]
    ]
    felt = [
        [name, f"{one['count']:,}", *(f"{one[what] * 1000:.1f} ms" for what in ("p50", "p99", "longest"))]
        for name, one in result["signed up"].items()
    ]
    seconds = result["db upgrade"]["seconds"]
    return (
        f"{table(['command', 'seconds', 'CPU of it', 'addresses changed', 'exit status'], rows)}\n\n"
        f"{table(['signing up with the FastAPI version', 'users', 'p50', 'p99', 'longest'], felt)}\n\n"
        f"A million users in {seconds:.0f} seconds; "
        f"{result['left in mixed case']:,} addresses are left in mixed case, {result['lost']:,} users are lost."
    )
