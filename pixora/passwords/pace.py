"""The pace at which hashes are computed: what one costs, and how long the next ones will take.

It is measured and not configured: other workers and requests that do not hash have their share of the machine, and
nobody knows how large that is at the moment.
"""

import time
from collections import deque

SMOOTHING = 0.2
"""The weight of the newest measurement in what a hash costs."""

FIRST_GUESS_SECONDS = 0.25
"""What a hash of cost 12 takes, before one was measured. Each step of the cost doubles it."""


class Pace:
    """The pace of one worker. Not safe for threads: the caller holds a lock.

    Args:
        cores: How many hashes may be computed at once on this machine.
        workers: How many workers share the cores.
        rounds: The cost of most hashes.

    """

    def __init__(self, cores: int, workers: int, rounds: int) -> None:
        self._cores = cores
        self._workers = workers
        self.cost = FIRST_GUESS_SECONDS * 2.0 ** (rounds - 12)  # in seconds; measured, after the first
        self._ends: deque[float] = deque(maxlen=2 * cores + 1)  # when the last hashes ended, while others were waiting

    def note(self, took: float | None) -> None:
        """Note the end of a hash that took so many seconds; None for one that was not computed."""
        self._ends.append(time.monotonic())
        if took is not None:
            self.cost += SMOOTHING * (took - self.cost)

    def forget(self) -> None:
        """Forget when hashes ended: the pace while a core is idle says nothing."""
        self._ends.clear()

    def interval(self) -> float:
        """Return the seconds between the ends of two hashes, at the pace of the last ones, the one under way included.

        Before there is a pace, every worker is taken to be as busy as this one, as in a storm they are.
        """
        if len(self._ends) <= self._cores:
            return self.cost * self._workers / self._cores
        return (time.monotonic() - self._ends[0]) / (len(self._ends) - 1)
