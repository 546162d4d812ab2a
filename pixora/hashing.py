"""The hashing room: where passwords are hashed, so that hashing takes nothing from what does not hash.

A hash is a quarter of a second of CPU by design, and anyone can ask for one. Left to themselves, sixty-four clients
logging in take the machine from everybody else. So hashes are computed by threads of their own, at a lower scheduling
priority, never more at once than there are cores, over all workers of the machine. Requests wait for their turn in a
queue in order of arrival; one that could not have its turn in time is told so at its deadline and not before: refused
at once, a client that tries again at once would cost more than one that waits.

Whether there will be a turn in time is forecast from the pace of the last hashes, when the request comes. Where the
machine becomes slower than forecast, because readers come say, what has not begun in time is not begun at all; and
while others are sent away, nobody waits for a hash under way for much longer either.

Measured, and not done: refusing at once; a queue with a time-out alone, where most hashes are computed for clients who
have left; one permit for each worker, which leaves cores idle; looking for a free permit every few milliseconds, which
costs a hundredth of the hashes; hashing in a process of its own, no better for readers than in threads; SCHED_IDLE,
from which the kernel lets a thread of an ordinary user never return.
"""

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

from pixora import machine, metrics
from pixora.errors import Overloaded, RoomFull

Result = TypeVar("Result")

LATE_FACTOR = 1.35
"""Of its patience, after which who waits for a hash under way is sent away, when others have been meanwhile: in a storm
there is an answer within three seconds where the patience is two, however much of the machine the readers take."""

SMOOTHING = 0.2
"""The weight of the newest measurement in what a hash costs."""

FIRST_GUESS_SECONDS = 0.25
"""What a hash of cost 12 takes, before one was measured. Each step of the cost doubles it."""

FREE_THREADS = 4
"""Of a worker's threads, those that no request that hashes may take. One that does not hash needs a thread for a
millisecond."""


class Job(Generic[Result]):
    """A hash to compute, and who waits for it."""

    def __init__(
        self, function: Callable[..., Result], arguments: tuple[Any, ...], is_wanted: Callable[[], bool]
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.is_wanted = is_wanted
        self.asked = time.monotonic()
        self.has_begun = False
        self.began: float | None = None
        self.took = 0.0
        self.done = threading.Event()
        self.result: Result | None = None
        self.error: BaseException | None = None


class HashingRoom:
    """Runs functions that hash, for the requests of one worker.

    For each core there is a permit, that all such rooms of this user on this machine share.

    Args:
        cores: How many hashes may be computed at once on this machine.
        seats: How many requests of this worker may wait; those who find no seat are refused at once.
        patience: How long a request waits for its turn, in seconds.
        rounds: The cost of most hashes.
        workers: How many such rooms share the cores.
        permits: The directory of the locks.

    """

    def __init__(
        self,
        cores: int,
        seats: int,
        patience: float,
        *,
        rounds: int = 12,
        workers: int = 1,
        permits: Path | None = None,
    ) -> None:
        self._cores = cores
        self._workers = workers
        self._patience = patience
        self._permits = permits or machine.directory()
        self._seats = threading.Semaphore(seats)
        self._jobs: deque[Job[Any]] = deque()  # those that have not begun
        self._ahead = 0  # jobs queued or running
        self._changed = threading.Condition()
        self._cost = FIRST_GUESS_SECONDS * 2.0 ** (rounds - 12)  # of a job; measured, after the first
        self._ends: deque[float] = deque(maxlen=2 * cores + 1)  # when the last jobs ended, while others were waiting
        self._last_refusal = 0.0
        self._is_closed = False
        self._threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def seat(self) -> Iterator[None]:
        """Hold a seat in the waiting room, for all of a request that hashes and whatever else it waits for.

        Raises:
            RoomFull: at once, when there is none: the other threads are for requests that do not hash.
            Overloaded: at the deadline, when its turn would not come in time as things are: then it need not ask the
                database before.

        """
        if not self._seats.acquire(blocking=False):
            raise RoomFull
        try:
            with self._changed:
                is_full = self._turns_away(self._patience)
            if is_full:
                time.sleep(self._patience)
                raise Overloaded
            yield
        finally:
            self._seats.release()

    def run(
        self,
        function: Callable[..., Result],
        *arguments: Any,
        is_wanted: Callable[[], bool] = lambda: True,
        patience: float | None = None,
    ) -> Result:
        """Return what `function` returns, computed in the room.

        Args:
            function: Spends its time without the GIL.
            arguments: Its arguments.
            is_wanted: Asked before the function is called; a result that nobody wants is not computed.
            patience: How long to wait for a turn, in seconds; by default as long as the room has it.

        Raises:
            Overloaded: at its deadline, its turn would not come in time, or has not because the machine has become
                slower since that was said; or, later, what has begun is too slow, and others are sent away; or nobody
                wants it any more.

        """
        patience = self._patience if patience is None else patience
        job = Job(function, arguments, is_wanted)
        if not self._admit(job, patience):
            time.sleep(patience)
            raise Overloaded
        metrics.hashing_queue.inc()
        try:
            self._wait(job, patience)
        finally:
            metrics.hashing_queue.dec()
        # Here and not by the thread that hashes: every request takes the lock of the metrics, and who holds it must not
        # be of low priority.
        if job.began is not None:
            metrics.hashing_wait.observe(job.began - job.asked)
            metrics.hashing_run.observe(job.took)
        if job.error is not None:
            raise job.error
        return cast(Result, job.result)

    def _wait(self, job: Job[Any], patience: float) -> None:
        """Return when a job is done; raise `Overloaded` when it will not be in time."""
        deadline = job.asked + patience
        # A hash that would end long after the deadline is not begun: it would be computed for who has left.
        in_time = patience - min(self._cost, patience / 2), LATE_FACTOR * patience - self._cost
        start_within = max(patience / 8, min(in_time))
        if not job.done.wait(start_within) and self._withdraw(job):
            time.sleep(max(0.0, deadline - time.monotonic()))
            raise Overloaded
        while not job.done.wait(max(self._cost / 4, job.asked + LATE_FACTOR * patience - time.monotonic())):
            if self._last_refusal > job.asked:
                raise Overloaded  # to this one; the hash goes on, and is for nobody

    def close(self) -> None:
        """End the threads, for who makes many applications in one process. What waits is still done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _admit(self, job: Job[Any], patience: float) -> bool:
        with self._changed:
            if self._turns_away(patience):
                return False
            self._ahead += 1
            self._jobs.append(job)
            # Started at need, and so never before a fork.
            while len(self._threads) < self._cores:
                number = len(self._threads)
                thread = threading.Thread(target=self._work, args=[number], name=f"core-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify_all()
        return True

    def _withdraw(self, job: Job[Any]) -> bool:
        """Take back a job that has not begun; return False when it has."""
        with self._changed:
            if job.has_begun:
                return False
            self._jobs.remove(job)
            self._leave()
            return True

    def _turns_away(self, patience: float) -> bool:
        """Tell whether a job that comes now would have to wait for too long."""
        is_full = self._ahead >= self._cores and (self._ahead + 1) * self._interval() > patience
        if is_full:
            self._last_refusal = time.monotonic()
        return is_full

    def _interval(self) -> float:
        """Return the time between the ends of two jobs, at the pace of the last ones, the one under way included.

        It says how much of the machine is ours at the moment: other workers, and requests that do not hash, have
        their share. Before there is a pace, every worker is taken to be as busy as this one, as in a storm they are.
        """
        if len(self._ends) <= self._cores:
            return self._cost * self._workers / self._cores
        return (time.monotonic() - self._ends[0]) / (len(self._ends) - 1)

    def _work(self, number: int) -> None:
        """Compute jobs in the order of their arrival, one at a time, whenever the permit is to be had.

        Each thread waits for a core of its own, so that none has to look from one to the next; and takes a job only
        when it has the core, so that a job goes to whichever core is free first.
        """
        machine.lower_priority()
        with contextlib.closing(machine.Permit(self._permits, number)) as permit:
            while self._is_needed():
                with permit.held():
                    if job := self._next():
                        self._compute(job)

    def _is_needed(self) -> bool:
        """Return True as soon as there is a job, or False when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            return bool(self._jobs)

    def _next(self) -> Job[Any] | None:
        with self._changed:
            if not self._jobs:
                return None  # another core was faster
            job = self._jobs.popleft()
            job.has_begun = True
            return job

    def _compute(self, job: Job[Any]) -> None:
        try:
            _require(job.is_wanted())
            job.began = time.monotonic()
            job.result = job.function(*job.arguments)
        except BaseException as error:  # noqa: BLE001  # it is the caller's
            job.error = error
        self._note_end(job)
        job.done.set()

    def _note_end(self, job: Job[Any]) -> None:
        now = time.monotonic()
        with self._changed:
            self._ends.append(now)
            if job.began is not None:
                job.took = now - job.began
                self._cost += SMOOTHING * (job.took - self._cost)
            self._leave()

    def _leave(self) -> None:
        self._ahead -= 1
        if self._ahead < self._cores:
            self._ends.clear()  # the pace of a room that is not full says nothing


room = cast(HashingRoom, LocalProxy(lambda: current_app.extensions["hashing"]))
"""The hashing room of the current application."""


def init_app(app: Flask) -> None:
    """Give `app` its hashing room."""
    seats = max(1, app.config["GUNICORN_THREADS"] - FREE_THREADS)
    app.extensions["hash_costs"] = Counter({app.config["BCRYPT_ROUNDS"]: 1})
    app.extensions["hashing"] = HashingRoom(
        machine.number(),
        seats,
        app.config["HASH_QUEUE_SECONDS"],
        rounds=app.config["BCRYPT_ROUNDS"],
        workers=app.config["WEB_CONCURRENCY"],
    )


def _require(wanted: bool) -> None:  # noqa: FBT001
    if not wanted:
        raise Overloaded  # to nobody; but there was no verdict either
