"""The threads of a worker, which answer requests."""

import queue
import threading
from typing import Any

from pixora.server.connection import Connection


class Threads:
    """A pool of threads, started at need. `concurrent.futures` takes several times as long to hand a job over."""

    def __init__(self, max_threads: int, work: Any) -> None:
        self._max_threads = max_threads
        self._work = work
        self._jobs: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0  # waiting threads minus waiting jobs

    def submit(self, connection: Connection) -> None:
        """Have a thread serve a connection."""
        with self._lock:
            self._idle -= 1
            is_short = self._idle < 0 and self._started < self._max_threads
            if is_short:
                self._started += 1
                self._idle += 1
        self._jobs.put(connection)
        if is_short:
            threading.Thread(target=self._run, name=f"request-{self._started}", daemon=True).start()

    def are_busy(self) -> bool:
        """Return whether a new job would have to wait for a thread."""
        return self._idle <= 0 and self._started == self._max_threads

    def _run(self) -> None:
        while True:
            self._work(self._jobs.get())
            with self._lock:
                self._idle += 1
