"""The pace of hashing: what a hash costs, and how long the next hashes will take.

The hashing queue records every hash here and asks for the interval to the next one. Both are measured, because nobody
can configure what share of the machine other workers and other requests take at the moment.
"""

import time
from collections import deque

SMOOTHING = 0.2
"""The weight of the newest measurement in the cost of a hash."""

INITIAL_SECONDS = 0.25
"""The cost of a bcrypt hash of cost 12 until one was measured. Each step of the cost doubles it."""


class Pace:
    """The pace of one worker, which shares the cores with others. Not thread-safe: the hashing queue holds its lock."""

    def __init__(self, cores: int, workers: int, rounds: int) -> None:
        self._cores = cores
        self._workers = workers
        self.cost = INITIAL_SECONDS * 2.0 ** (rounds - 12)  # in seconds
        self._ends: deque[float] = deque(maxlen=2 * cores + 1)  # when the last hashes ended, while all cores were busy

    def record(self, seconds: float | None) -> None:
        """Record the end of a hash that took `seconds`, or None for one that was not computed."""
        self._ends.append(time.monotonic())
        if seconds is not None:
            self.cost += SMOOTHING * (seconds - self.cost)

    def reset(self) -> None:
        """Forget the ends of the last hashes: while a core is idle they say nothing about the pace."""
        self._ends.clear()

    def interval(self) -> float:
        """Return the seconds between the ends of two hashes, measured from the oldest end recorded until now.

        Until enough hashes have ended, assume that every worker is as busy as this one.
        """
        if len(self._ends) <= self._cores:
            return self.cost * self._workers / self._cores
        return (time.monotonic() - self._ends[0]) / (len(self._ends) - 1)
