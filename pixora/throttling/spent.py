"""The limits that wrong attempts have just reached, as each worker knows them.

A refusal takes two or three commands, and a client that goes on in spite of it would have MongoDB work as hard as for
logins. So a worker that has refused an attempt refuses the next ones by the same limit without the database, for a
second at most.
"""

import time
from collections.abc import Iterable

from pixora.throttling.counters import Bucket, Window

REMEMBERED_SECONDS = 1.0
"""For so long another worker does not know yet that a proof of the mailbox has cleared the limits of an account."""

MAX_REMEMBERED = 1024
"""Limits that a worker remembers."""


class SpentLimits:
    """Windows that are spent: no attempt is accepted before they end."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, Window]] = {}

    def note(self, windows: Iterable[Window]) -> None:
        """Remember spent windows, but not past their end."""
        now = time.monotonic()
        if len(self._windows) >= MAX_REMEMBERED:
            self.clear()
        for window in windows:
            until = now + min(REMEMBERED_SECONDS, window.seconds_left - 1)  # which is rounded up
            self._windows[window.bucket.key] = until, window

    def find(self, buckets: Iterable[Bucket]) -> list[Window]:
        """Return the windows of these buckets that are known to be spent."""
        now = time.monotonic()
        known = (self._windows.get(bucket.key) for bucket in buckets)
        return [window for until, window in filter(None, known) if now < until]

    def clear(self) -> None:
        """Ask the database again."""
        self._windows = {}
