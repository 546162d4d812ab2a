"""The hashing queue: computes password hashes without letting them slow down other requests.

A hash takes a quarter of a second of CPU by design, and anyone can ask for one. A request goes this way:

1. `slot` reserves a place for all that the request does. There are fewer slots than threads, so a request that does
   not hash always finds a thread.
2. `run` forecasts, from the pace of the last hashes (`pixora.passwords.pace`), whether a new job would begin in time.
   If not, it sleeps until the timeout and raises `Overloaded`: a client that retries at once must not gain by it.
3. A hashing thread, one for each core, waits for the lock of its core (`pixora.passwords.cores`), which all workers
   share, and computes the oldest job at a lower scheduling priority.
4. Meanwhile the request waits. If the machine has become slower than forecast, a job that would end long after its
   timeout is withdrawn before it begins; one that has begun is given up once it is late and others were refused.

When a core lock was not taken for `STALLED_SECONDS`, its holder is frozen. A stand-in thread, with a lock that all
workers share as well, then computes in the place of that core: one hash too many at once is better than none.

A `ThreadPoolExecutor` with a timeout fails under overload: it computes most hashes for clients that have left. A fixed
share of the cores for each worker leaves cores idle, and polling for a free core lock costs one hash in a hundred.
Processes serve other requests no better than threads do, and the kernel may never resume a `SCHED_IDLE` thread.
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
from pixora.passwords.cores import CoreLock, default_lock_directory, lower_priority
from pixora.passwords.pace import Pace

Result = TypeVar("Result")

LATE_FACTOR = 1.35
"""A job that has begun is late after this many timeouts: clients get an answer within three seconds of a timeout of
two, even under overload."""

STALLED_SECONDS = 2.0
STALLED_HASHES = 8
"""A core lock is stalled after `STALLED_SECONDS` or after the time of so many hashes, whichever is longer."""

STALL_CHECK_SECONDS = 0.5
"""How often a waiting request looks for stalled core locks."""

FREE_THREADS = 4
"""Threads of a worker that have no slot. A request that does not hash needs one for a millisecond."""


@dataclass(eq=False)
class Job(Generic[Result]):
    """A function to compute. `began_at` and `seconds` stay None if it was not computed."""

    function: Callable[[], Result]
    is_wanted: Callable[[], bool]
    future: futures.Future[Result] = field(default_factory=futures.Future)
    queued_at: float = field(default_factory=time.monotonic)
    began_at: float | None = None
    seconds: float | None = None

    def is_done_within(self, seconds: float) -> bool:
        """Wait for the job to end; return False after `seconds`."""
        return bool(futures.wait([self.future], max(0.0, seconds)).done)


class HashingQueue:
    """Computes hashes for the requests of one worker.

    Args:
        cores: How many hashes may be computed at once on this machine.
        slots: How many requests of this worker may hash or wait for it.
        timeout: Seconds a request waits for its job to begin.
        rounds: The bcrypt cost of most hashes.
        workers: How many workers share the cores.
        lock_directory: The directory of the core locks.

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
        self._slots = threading.Semaphore(slots)
        self._timeout = timeout
        self._lock_directory = lock_directory or default_lock_directory()
        self._core_locks: dict[int, CoreLock] = {}  # by the number of the thread that uses it
        self._changed = threading.Condition()  # guards all that follows
        self._jobs: deque[Job[Any]] = deque()  # that have not begun
        self._unfinished = 0  # jobs, those that have begun included
        self._pace = Pace(cores, workers, rounds)
        self._refused_at = 0.0
        self._is_closed = False

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot while the `with` block runs: everything that a request with a password does.

        Raises:
            HashingQueueFull: All slots are taken; raised at once.
            Overloaded: A job would not begin in time; raised after the timeout and before the block, so that a request
                without a chance costs no query.

        """
        try:
            if not self._slots.acquire(blocking=False):
                raise HashingQueueFull
            try:
                with self._changed:
                    is_refused = self._refuse(self._timeout)
                if is_refused:
                    time.sleep(self._timeout)
                    raise Overloaded
                yield
            finally:
                self._slots.release()
        except Overloaded:
            metrics.hashing_shed.inc()
            raise

    def run(
        self,
        function: Callable[..., Result],
        *arguments: Any,
        is_wanted: Callable[[], bool] = lambda: True,
        timeout: float | None = None,
    ) -> Result:
        """Compute a function in the queue and return its result, or raise its error.

        Args:
            function: Spends its time without the GIL.
            arguments: Its arguments.
            is_wanted: Called before the function, which is not computed if the client has left.
            timeout: Seconds to wait for the job to begin, if not the queue's own timeout.

        Raises:
            Overloaded: The job does not begin or does not end in time, or the client has left.

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
        # Not in the hashing thread: at its low priority it must not hold the lock of the metrics.
        if job.began_at is not None and job.seconds is not None:
            metrics.hashing_wait.observe(job.began_at - job.queued_at)
            metrics.hashing_run.observe(job.seconds)
        return job.future.result()

    def close(self) -> None:
        """End the threads after the jobs in the queue, for processes that create many applications."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    # In the thread of the request

    def _admit(self, job: Job[Any], timeout: float) -> bool:
        with self._changed:
            if self._refuse(timeout):
                return False
            self._unfinished += 1
            self._jobs.append(job)
            for number in range(self._cores):  # only now, and so never before gunicorn forks
                self._start_thread(number)
            self._changed.notify_all()
        return True

    def _refuse(self, timeout: float) -> bool:
        """Return whether a new job would begin after `timeout`, and remember the refusal."""
        is_refused = self._unfinished >= self._cores and (self._unfinished + 1) * self._pace.interval() > timeout
        if is_refused:
            self._refused_at = time.monotonic()
        return is_refused

    def _wait(self, job: Job[Any], timeout: float) -> None:
        """Wait for the job to end; raise `Overloaded` if it will not end in time."""
        late_after = LATE_FACTOR * timeout
        last_start = min(timeout - min(self._pace.cost, timeout / 2), late_after - self._pace.cost)
        if not self._is_done_within(max(timeout / 8, last_start), job) and self._withdraw(job):
            time.sleep(max(0.0, job.queued_at + timeout - time.monotonic()))
            raise Overloaded
        while not job.is_done_within(max(self._pace.cost / 4, job.queued_at + late_after - time.monotonic())):
            if self._refused_at > job.queued_at:
                raise Overloaded  # the result is discarded

    def _is_done_within(self, seconds: float, job: Job[Any]) -> bool:
        """Wait for the job to end, and start a stand-in for each stalled core; return False after `seconds`."""
        end = time.monotonic() + seconds
        while not job.is_done_within(min(STALL_CHECK_SECONDS, end - time.monotonic())):
            with self._changed:
                for number in [*self._core_locks]:
                    if self._is_stalled(number):
                        self._start_thread(number + self._cores)
            if time.monotonic() >= end:
                return False
        return True

    def _withdraw(self, job: Job[Any]) -> bool:
        """Take a job out of the queue; return False if it has begun."""
        with self._changed:
            if not job.future.cancel():
                return False
            self._jobs.remove(job)
            self._count_down()
            return True

    def _start_thread(self, number: int) -> None:
        """Start the thread of a core unless it runs; the stand-in of core `n` has the number `n + cores`."""
        if number not in self._core_locks:
            core_lock = self._core_locks[number] = CoreLock(self._lock_directory, number)
            threading.Thread(target=self._work, args=[number, core_lock], name=f"core-{number}", daemon=True).start()

    def _is_stalled(self, number: int) -> bool:
        core_lock = self._core_locks.get(number)
        limit = max(STALLED_SECONDS, STALLED_HASHES * self._pace.cost)
        return core_lock is not None and core_lock.stalled_for() > limit

    # In the hashing threads

    def _work(self, number: int, core_lock: CoreLock) -> None:
        lower_priority()
        # A thread takes a job only once it holds its core lock, so each job goes to the first core that is free.
        while self._is_needed(number):
            with core_lock.held():
                if job := self._next_job():
                    self._compute(job)
        core_lock.close()

    def _is_needed(self, number: int) -> bool:
        """Wait for a job; return False if the queue is closed, or if this is a stand-in whose core works again."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            if self._jobs and (number < self._cores or self._is_stalled(number - self._cores)):
                return True
            del self._core_locks[number]
            return False

    def _next_job(self) -> Job[Any] | None:
        """Return the oldest job, or None if the thread of another core has just taken the last one."""
        with self._changed:
            if not self._jobs:
                return None
            job = self._jobs.popleft()
            job.future.set_running_or_notify_cancel()
            return job

    def _compute(self, job: Job[Any]) -> None:
        try:
            if job.is_wanted():
                job.began_at = time.monotonic()
                finish = partial(job.future.set_result, job.function())
            else:
                finish = partial(job.future.set_exception, Overloaded())
        except BaseException as error:  # noqa: BLE001  # the request raises it
            finish = partial(job.future.set_exception, error)
        job.seconds = None if job.began_at is None else time.monotonic() - job.began_at
        with self._changed:
            self._pace.record(job.seconds)
            self._count_down()
        finish()  # last, because the request may come back with its next job at once

    def _count_down(self) -> None:
        self._unfinished -= 1
        if self._unfinished < self._cores:
            self._pace.reset()
