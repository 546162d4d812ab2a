"""The hashing room: where passwords are hashed, so that hashing takes nothing from what does not hash.

A hash is a quarter of a second of CPU by design, and anyone can ask for one. Left to themselves, sixty-four clients
logging in take the machine from everybody else. So hashes are computed by threads of their own, at a lower scheduling
priority, never more at once than there are cores, over all workers of the machine. Requests wait for their turn in a
queue in order of arrival; one that could not have its turn in time is told so at its deadline and not before: refused
at once, a client that tries again at once would cost more than one that waits.

Whether there will be a turn in time is forecast from the pace of the last hashes, when the request comes. Where the
machine becomes slower than forecast, because readers come say, what has not begun in time is not begun at all; and
while others are sent away, nobody waits for a hash under way for much longer either.

A frozen worker keeps its core. When a core has been awaited for `STALLED_SECONDS` and no worker took it, a stand-in,
the same one for all workers, takes its place until it moves again: one hash too many is better than none.

Measured, and not done: refusing at once; a queue with a time-out alone, where most hashes are computed for clients who
have left; one permit for each worker, which leaves cores idle; looking for a free permit every few milliseconds, which
costs a hundredth of the hashes; hashing in processes, no better for readers; SCHED_IDLE, from which the kernel lets a
thread of an ordinary user never return.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from pixora.errors import HashingQueueFull, Overloaded
from pixora.observability import metrics
from pixora.passwords import cores as machine
from pixora.passwords.pace import Pace

Result = TypeVar("Result")

LATE_FACTOR = 1.35
"""Of its patience, after which who waits for a hash under way is sent away, when others have been meanwhile: in a storm
there is an answer within three seconds where the patience is two, however much of the machine the readers take."""

STALLED_SECONDS = 2.0
"""After which a core that no worker takes is passed over; or `STALLED_HASHES`, when hashes take long."""

STALLED_HASHES = 8

LOOK_SECONDS = 0.5
"""How often a waiting request looks for stalled cores."""

FREE_THREADS = 4
"""Of a worker's threads, those that no request that hashes may take. One that does not hash needs a thread for a
millisecond."""


@dataclass(eq=False)
class Job(Generic[Result]):
    """A hash to compute. `began`: when; `took`: how many seconds."""

    function: Callable[[], Result]
    is_wanted: Callable[[], bool]
    future: futures.Future[Result] = field(default_factory=futures.Future)
    asked: float = field(default_factory=time.monotonic)
    began: float | None = None
    took: float | None = None

    def is_done_within(self, seconds: float) -> bool:
        """Wait for the end for so long; return whether it came."""
        return bool(futures.wait([self.future], max(0.0, seconds)).done)


class HashingQueue:
    """Runs functions that hash, for the requests of one worker; all rooms of this user share a permit for each core.

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
        slots: int,
        timeout: float,
        *,
        rounds: int = 12,
        workers: int = 1,
        lock_directory: Path | None = None,
    ) -> None:
        self._cores = cores
        self._timeout = timeout
        self._directory = lock_directory or machine.directory()
        self._slots = threading.Semaphore(slots)
        self._jobs: deque[Job[Any]] = deque()  # those that have not begun
        self._ahead = 0  # jobs queued or running
        self._changed = threading.Condition()
        self._pace = Pace(cores, workers, rounds)
        self._last_refusal = 0.0
        self._is_closed = False
        self._lock_directory: dict[int, machine.Permit] = {}  # of each thread, by the number of its core

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a seat in the waiting room, for all of a request that hashes and whatever else it waits for.

        Raises:
            RoomFull: at once, when there is none: the other threads are for requests that do not hash.
            Overloaded: at the deadline, when its turn would not come in time as things are: then it need not ask the
                database before.

        """
        if not self._slots.acquire(blocking=False):
            raise HashingQueueFull
        try:
            with self._changed:
                is_full = self._turns_away(self._timeout)
            if is_full:
                time.sleep(self._timeout)
                raise Overloaded
            yield
        finally:
            self._slots.release()

    def run(
        self,
        function: Callable[..., Result],
        *arguments: Any,
        is_wanted: Callable[[], bool] = lambda: True,
        timeout: float | None = None,
    ) -> Result:
        """Return what `function` returns, computed in the room.

        Args:
            function: Spends its time without the GIL.
            arguments: Its arguments.
            is_wanted: Asked before the function is called; a result that nobody wants is not computed.
            timeout: Seconds to wait for a turn; by default those of the queue.

        Raises:
            Overloaded: at its deadline, its turn would not come in time, or has not because the machine has become
                slower since that was said; or, later, what has begun is too slow, and others are sent away; or nobody
                wants it any more.

        """
        timeout = self._timeout if timeout is None else timeout
        job = Job(partial(function, *arguments), is_wanted)
        if not self._admit(job, timeout):
            time.sleep(timeout)
            raise Overloaded
        metrics.hashing_queue.inc()
        try:
            self._wait(job, timeout)
        finally:
            metrics.hashing_queue.dec()
        # Here and not by the thread that hashes, whose low priority must not hold the lock of the metrics.
        if job.began is not None and job.took is not None:
            metrics.hashing_wait.observe(job.began - job.asked)
            metrics.hashing_run.observe(job.took)
        return job.future.result()

    def _wait(self, job: Job[Any], timeout: float) -> None:
        """Return when a job is done; raise `Overloaded` when it will not be in time."""
        deadline = job.asked + timeout
        # A hash that would end long after the deadline is not begun: it would be computed for who has left.
        in_time = timeout - min(self._pace.cost, timeout / 2), LATE_FACTOR * timeout - self._pace.cost
        if not self._is_done_within(max(timeout / 8, min(in_time)), job) and self._withdraw(job):
            time.sleep(max(0.0, deadline - time.monotonic()))
            raise Overloaded
        while not job.is_done_within(max(self._pace.cost / 4, job.asked + LATE_FACTOR * timeout - time.monotonic())):
            if self._last_refusal > job.asked:
                raise Overloaded  # to this one; the hash goes on, and is for nobody

    def _is_done_within(self, seconds: float, job: Job[Any]) -> bool:
        """Wait for a job that may be stuck behind a stalled core, and pass that over."""
        end = time.monotonic() + seconds
        while not job.is_done_within(min(LOOK_SECONDS, end - time.monotonic())):
            with self._changed:
                for number in [*self._lock_directory]:
                    if self._is_stalled(number):
                        self._start(number + self._cores)
            if time.monotonic() >= end:
                return False
        return True

    def close(self) -> None:
        """End the threads, for who makes many applications in one process. What waits is still done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _admit(self, job: Job[Any], timeout: float) -> bool:
        with self._changed:
            if self._turns_away(timeout):
                return False
            self._ahead += 1
            self._jobs.append(job)
            for number in range(self._cores):  # at need, and so never before a fork
                self._start(number)
            self._changed.notify_all()
        return True

    def _start(self, number: int) -> None:
        """Have a thread for a core, or for the stand-in of one: those have the numbers from `cores` on."""
        if number not in self._lock_directory:
            permit = self._lock_directory[number] = machine.Permit(self._directory, number)
            threading.Thread(target=self._work, args=[number, permit], name=f"core-{number}", daemon=True).start()

    def _is_stalled(self, number: int) -> bool:
        permit = self._lock_directory.get(number)
        return permit is not None and permit.stalled_for() > max(STALLED_SECONDS, STALLED_HASHES * self._pace.cost)

    def _withdraw(self, job: Job[Any]) -> bool:
        """Take back a job that has not begun; return False when it has."""
        with self._changed:
            if not job.future.cancel():
                return False
            self._jobs.remove(job)
            self._leave()
            return True

    def _turns_away(self, timeout: float) -> bool:
        """Tell whether a job that comes now would have to wait for too long."""
        if is_full := self._ahead >= self._cores and (self._ahead + 1) * self._pace.interval() > timeout:
            self._last_refusal = time.monotonic()
        return is_full

    def _work(self, number: int, permit: machine.Permit) -> None:
        """Compute jobs in the order of their arrival, one at a time, whenever the permit is to be had."""
        machine.lower_priority()
        # Each thread waits for a core of its own, so that none has to look from one to the next; and takes a job only
        # when it has the core, so that a job goes to whichever core is free first.
        while self._is_needed(number):
            with permit.held():
                if job := self._next():
                    self._compute(job)
        permit.close()

    def _is_needed(self, number: int) -> bool:
        """Return True as soon as there is a job; False when there will be none, or when the core moves again."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            if self._jobs and (number < self._cores or self._is_stalled(number - self._cores)):
                return True
            del self._lock_directory[number]
            return False

    def _next(self) -> Job[Any] | None:
        with self._changed:
            job = self._jobs.popleft() if self._jobs else None  # where another core was faster
            if job:
                job.future.set_running_or_notify_cancel()
            return job

    def _compute(self, job: Job[Any]) -> None:
        try:
            _require(job.is_wanted())
            job.began = time.monotonic()
            finish = partial(job.future.set_result, job.function())
        except BaseException as error:  # noqa: BLE001  # it is the caller's
            finish = partial(job.future.set_exception, error)
        job.took = None if job.began is None else time.monotonic() - job.began
        with self._changed:
            self._pace.note(job.took)
            self._leave()
        finish()  # only now: a caller that has its result may ask again at once

    def _leave(self) -> None:
        self._ahead -= 1
        if self._ahead < self._cores:
            self._pace.forget()


def _require(wanted: bool) -> None:  # noqa: FBT001
    if not wanted:
        raise Overloaded  # to nobody; but there was no verdict either
