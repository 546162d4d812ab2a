"""The hashing room: where passwords are hashed, so that hashing takes nothing from what does not hash.

A hash is a quarter of a second of CPU by design, and anyone can ask for one. Left to themselves, sixty-four clients
logging in take the machine from everybody else. So hashes are computed by threads of their own, at a lower scheduling
priority, never more at once than there are cores, over all workers of the machine. Requests wait for their turn in a
queue in order of arrival; one that could not have its turn in time is told so at its deadline and not before: refused
at once, a client that tries again at once would cost more than one that waits.

Measured, and not done: refusing at once; a queue with a time-out, where most hashes are computed for clients who have
left; one permit for each worker, which leaves cores idle.
"""

import contextlib
import fcntl
import os
import queue
import random
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

from pixora.errors import Overloaded

Result = TypeVar("Result")

NICENESS = 10
"""Of the hashing threads: while others want the core, they get about a tenth of it."""

POLL_SECONDS = 0.004
"""How often a hashing thread looks for a free core: a hundredth of a hash."""

SMOOTHING = 0.2
"""The weight of the newest measurement in what a hash costs."""

FIRST_GUESS_SECONDS = 0.25
"""What a hash of cost 12 takes, before one was measured. Each step of the cost doubles it."""

FREE_THREADS = 4
"""Of a worker's threads, those that no request that hashes may take. One that does not hash needs a thread for a
millisecond."""


class Permits:
    """As many permits as there are cores, shared by every process of this user on this machine.

    A permit is a lock on a file, which the kernel gives back when its holder dies, however it dies.
    """

    def __init__(self, number: int, directory: Path | None = None) -> None:
        self._directory = directory or _directory()
        self._names = [f"core-{index}" for index in range(number)]

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold a permit; wait for it as long as it takes."""
        with contextlib.ExitStack() as files:
            # Opened for each use: a lock belongs to what was opened, and two threads must not share one.
            slots = [files.enter_context((self._directory / name).open("w")) for name in self._names]
            while not any(_try_lock(slot.fileno()) for slot in slots):
                time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # so that not all look at once
            yield


class Job(Generic[Result]):
    """A hash to compute, and who waits for it."""

    def __init__(
        self, function: Callable[..., Result], arguments: tuple[Any, ...], is_wanted: Callable[[], bool]
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.is_wanted = is_wanted
        self.done = threading.Event()
        self.result: Result | None = None
        self.error: BaseException | None = None


class HashingRoom:
    """Runs functions that hash, for the requests of one worker.

    Args:
        cores: How many hashes may be computed at once on this machine.
        seats: How many requests of this worker may wait; those who find no seat are refused at once.
        patience: How long a request waits for its turn, in seconds.
        rounds: The cost of most hashes.
        workers: How many such rooms share the cores.
        permits: By default those that all processes of this user share.

    """

    def __init__(
        self,
        cores: int,
        seats: int,
        patience: float,
        *,
        rounds: int = 12,
        workers: int = 1,
        permits: Permits | None = None,
    ) -> None:
        self._cores = cores
        self._workers = workers
        self._patience = patience
        self._permits = permits or Permits(cores)
        self._seats = threading.Semaphore(seats)
        self._queue: queue.SimpleQueue[Job[Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ahead = 0  # jobs queued or running
        self._cost = FIRST_GUESS_SECONDS * 2.0 ** (rounds - 12)  # of a job; measured, after the first
        self._ends: deque[float] = deque(maxlen=2 * cores + 1)  # when the last jobs ended, while others were waiting
        self._threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def seat(self) -> Iterator[None]:
        """Hold a seat in the waiting room, for all of a request that hashes and whatever else it waits for.

        Raises:
            Overloaded: at once, when there is none: the other threads are for requests that do not hash.

        """
        if not self._seats.acquire(blocking=False):
            raise Overloaded
        try:
            yield
        finally:
            self._seats.release()

    def run(
        self, function: Callable[..., Result], *arguments: Any, is_wanted: Callable[[], bool] = lambda: True
    ) -> Result:
        """Return what `function` returns, computed in the room.

        Args:
            function: Spends its time without the GIL.
            arguments: Its arguments.
            is_wanted: Asked before the function is called; a result that nobody wants is not computed.

        Raises:
            Overloaded: its turn would not come in time; or nobody wants it any more. Once admitted, a job is done.

        """
        job = Job(function, arguments, is_wanted)
        if not self._admit(job):
            time.sleep(self._patience)
            raise Overloaded
        job.done.wait()
        if job.error is not None:
            raise job.error
        return cast(Result, job.result)

    def _admit(self, job: Job[Any]) -> bool:
        with self._lock:
            if self._ahead >= self._cores and (self._ahead + 1) * self._interval() > self._patience:
                return False
            self._ahead += 1
            if len(self._threads) < self._cores:
                # Started at need, and so never before a fork.
                thread = threading.Thread(target=self._work, name=f"hashing-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._queue.put(job)
        return True

    def _interval(self) -> float:
        """Return the time between the ends of two jobs, at the pace of the last ones, the one under way included.

        It says how much of the machine is ours at the moment: other workers, and requests that do not hash, have
        their share. Before there is a pace, every worker is taken to be as busy as this one, as in a storm they are.
        """
        if len(self._ends) <= self._cores:
            return self._cost * self._workers / self._cores
        return (time.monotonic() - self._ends[0]) / (len(self._ends) - 1)

    def _work(self) -> None:
        _lower_priority()
        while True:
            job = self._queue.get()
            began = None
            try:
                with self._permits.one():
                    _require(job.is_wanted())
                    began = time.monotonic()
                    job.result = job.function(*job.arguments)
            except BaseException as error:  # noqa: BLE001  # it is the caller's
                job.error = error
            self._note_end(began)
            job.done.set()

    def _note_end(self, began: float | None) -> None:
        now = time.monotonic()
        with self._lock:
            self._ahead -= 1
            if began is not None:
                self._cost += SMOOTHING * (now - began - self._cost)
            if self._ahead >= self._cores:
                self._ends.append(now)
            else:
                self._ends.clear()


room = cast(HashingRoom, LocalProxy(lambda: current_app.extensions["hashing"]))
"""The hashing room of the current application."""


def init_app(app: Flask) -> None:
    """Give `app` its hashing room."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    seats = max(1, app.config["GUNICORN_THREADS"] - FREE_THREADS)
    app.extensions["hash_costs"] = Counter({app.config["BCRYPT_ROUNDS"]: 1})
    app.extensions["hashing"] = HashingRoom(
        cores,
        seats,
        app.config["HASH_QUEUE_SECONDS"],
        rounds=app.config["BCRYPT_ROUNDS"],
        workers=app.config["WEB_CONCURRENCY"],
    )


def _require(wanted: bool) -> None:  # noqa: FBT001
    if not wanted:
        raise Overloaded  # to nobody; but there was no verdict either


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _directory() -> Path:
    """Return the directory of the locks: one for each user of this machine, and writable by no other."""
    directory = Path(tempfile.gettempdir()) / f"pixora-hashing-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if status.st_uid != os.getuid() or directory.is_symlink() or status.st_mode & 0o077:
        raise PermissionError(f"{directory} belongs to someone else, or is open to others. Remove it.")
    return directory


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere the niceness is that of the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
