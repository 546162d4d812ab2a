"""The compared services: how each is started, its user documents, and its CPU and memory."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pymongo
from bson import ObjectId
from mongod import Mongod, free_port

import config
from tests.factories import fastapi_user

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks/.venv/bin/python"
JWT_SECRET = "a secret for benchmarks only, of more than 32 bytes"
START_SECONDS = 60

CORES = sorted(os.sched_getaffinity(0))
FIRST, SECOND = ({CORES[0]}, {CORES[1]}) if len(CORES) > 1 else ({CORES[0]}, {CORES[0]})

NO_THROTTLES = dict.fromkeys(
    ("THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "THROTTLE_LOGIN_PER_ACCOUNT", "THROTTLE_LOGIN_PER_IP"), "1000000 per second"
)
"""One benchmark client stands for many, which the throttles would stop."""


class Bench(NamedTuple):
    """What all benchmarks share: the mongod, a client for it, and a directory for files."""

    mongod: Mongod
    mongo: "pymongo.MongoClient[dict[str, Any]]"
    folder: Path


def _pixora_user(email: str, hashed: str) -> dict[str, Any]:
    return fastapi_user(email=email, password=hashed)


def _fastapi_users_user(email: str, hashed: str) -> dict[str, Any]:
    user = fastapi_user(email=email, hashed_password=hashed, is_active=True, is_superuser=False, is_verified=False)
    del user["password"]
    return user | {"_id": ObjectId()}


def _gunicorn(application: str, *options: str) -> Callable[[int, int], list[str]]:
    def command(port: int, workers: int) -> list[str]:
        gunicorn = str(Path(sys.executable).with_name("gunicorn"))
        bound = ["--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--log-level", "error"]
        return [gunicorn, *bound, *options, application]

    return command


def _uvicorn(application: str) -> Callable[[int, int], list[str]]:
    # Without access logs, as is usual behind nginx. Pixora's request log stays on.
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"]

    def command(port: int, workers: int) -> list[str]:
        return [str(PEERS), "-m", "uvicorn", *options, "--port", str(port), "--workers", str(workers), application]

    return command


@dataclass(frozen=True)
class Service:
    """A service that can be started. `user` returns a user document for an e-mail address and a bcrypt hash."""

    name: str
    command: Callable[[int, int], list[str]]
    user: Callable[[str, str], dict[str, Any]] = _pixora_user


PIXORA = Service("Pixora", _gunicorn("wsgi:app"))
PIXORA_GTHREAD = Service("Pixora under gthread", _gunicorn("wsgi:app", "--worker-class", "gthread"))
UNOBSERVED = Service("Pixora unobserved", _gunicorn("benchmarks.peers.unobserved:app"))
FASTAPI_MOTOR = Service("FastAPI + Motor", _uvicorn("benchmarks.peers.fastapi_motor:app"))
FASTAPI_USERS = Service("fastapi-users + Beanie", _uvicorn("benchmarks.peers.fastapi_users:app"), _fastapi_users_user)
HELLO_GUNICORN = Service("hello under gunicorn", _gunicorn("benchmarks.peers.hello:wsgi"))
HELLO_UVICORN = Service("hello under uvicorn", _uvicorn("benchmarks.peers.hello:asgi"))


class Usage(NamedTuple):
    """The memory of a server and its workers, in bytes."""

    rss: int
    pss: int


class Server:
    """A running service, on its own port."""

    def __init__(self, service: Service, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.service = service
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.start_seconds = 0.0
        self._process = process

    def processes(self) -> Iterator[int]:
        """Yield the ids of the server's processes, including its workers."""
        waiting = [self._process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())

    def cpu(self) -> float:
        """Return the CPU seconds of the server since its start."""
        return sum(map(cpu, self.processes()))

    def usage(self) -> Usage:
        """Return the memory of the server; `rss` counts shared pages once for each process."""
        rss = pss = 0
        for pid in self.processes():
            lines = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
            rss += int(lines["Rss"].split()[0]) * 1024
            pss += int(lines["Pss"].split()[0]) * 1024
        return Usage(rss, pss)

    def wait(self) -> None:
        """Wait until the server answers."""
        began = time.monotonic()
        deadline = began + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    self.start_seconds = time.monotonic() - began
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.005)
        raise RuntimeError(f"{self.service.name} does not start")

    def stop(self) -> None:
        """Kill the server, whatever it is doing."""
        processes = list(self.processes())
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:  # it may have many hashes left that nobody waits for
            for pid in processes:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue
            self._process.wait()


@contextmanager
def started(
    bench: Bench, service: Service, database: str, *, cores: Sequence[int] | set[int] = CORES, **settings: str
) -> Iterator[Server]:
    """Run a service with a worker for each core, bound to these cores.

    Args:
        bench: Has the mongod.
        service: The service.
        database: The name of its database.
        cores: The cores it may use.
        settings: Environment variables.

    """
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PIXORA_ENV": "testing",
        "MONGO_URI": bench.mongod.uri(database),
        "SECRET_KEY": JWT_SECRET[::-1],
        "JWT_SECRET_KEY": JWT_SECRET,
        "BCRYPT_ROUNDS": "12",
        "WEB_CONCURRENCY": str(len(cores)),
        "MALLOC_ARENA_MAX": "2",  # as in the Dockerfile
        **NO_THROTTLES,
    }
    bound = ["taskset", "--cpu-list", ",".join(map(str, cores))]
    log = bench.folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*bound, *service.command(port, len(cores))],
            cwd=ROOT,
            env=environment | settings,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(service, process, port)
    try:
        server.wait()
        yield server
    except BaseException:
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
        raise
    finally:
        server.stop()


def seed(bench: Bench, service: Service, database: str, number: int, hashed: str) -> list[str]:
    """Fill a database with users who have the password of `tests.factories`; return their e-mail addresses."""
    emails = [f"user{index:07}@example.com" for index in range(number)]
    users = bench.mongo[database]["users"]
    users.insert_many((service.user(email, hashed) for email in emails), ordered=False)
    return emails


def bind(pid: int, cores: set[int]) -> None:
    """Bind a running process with all its threads to these cores."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process, including threads that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Start the one mongod that all services of the benchmark use."""
    with ExitStack() as stack:
        mongod = stack.enter_context(Mongod(folder / "data", binary=config.mongod()))
        mongo = stack.enter_context(pymongo.MongoClient[dict[str, Any]](mongod.uri("bench"), tz_aware=True))
        yield Bench(mongod, mongo, folder)
