"""Spreads connections evenly over the workers: a busier worker waits a moment before it accepts another.

All workers listen on one socket. Without this, the first worker to wake up accepts: sometimes one worker gets all of
eight clients, which then share one core of two. With SO_REUSEPORT the kernel spreads few connections no better, and a
worker that stops loses the connections in its queue.

gunicorn's master loads this, alone and by its path, so it must import nothing of the application, see gunicorn.conf.py.
"""

import mmap
import time

PLACES = 128
AWAY = -1

PAUSE_SECONDS = 0.002
"""How long a busier worker leaves a new connection to the others before it looks again."""

PAUSES = 5
"""After this many pauses in which no other worker has accepted, the pauses become shorter."""


class Board:
    """The number of busy connections of each worker, in shared memory."""

    def __init__(self) -> None:
        self.counts = memoryview(mmap.mmap(-1, PLACES * 4)).cast("i")
        for place in range(PLACES):
            self.counts[place] = AWAY

    def leave(self, place: int) -> None:
        """Remove a worker that has ended, so that the others do not wait for it."""
        if place < PLACES:
            self.counts[place] = AWAY


class Share:
    """The share of the connections that a worker accepts.

    Args:
        board: The counts of all workers.
        place: The worker's place on the board. A worker beyond its end accepts every connection.

    """

    def __init__(self, board: Board, place: int) -> None:
        self._counts = board.counts if place < PLACES else None
        self._place = place
        self._seen: list[int] = []
        self._pauses = 0
        self._allowed = 0
        self.pauses_until = 0.0

    def note(self, count: int) -> None:
        """Publish the number of busy connections of this worker."""
        if self._counts is not None:
            self._counts[self._place] = count

    def leave(self) -> None:
        """Stop taking part: this worker accepts no more connections."""
        self.note(AWAY)
        self._counts = None

    def may_accept(self) -> bool:
        """Return whether this worker may accept another connection; if not, ask again at `pauses_until`."""
        if self._counts is None:
            return True
        others = [count for place, count in enumerate(self._counts) if place != self._place and count != AWAY]
        if not others or self._counts[self._place] <= min(others):
            self._pauses = self._allowed = 0
            return True
        if others != self._seen:
            self._seen, self._pauses, self._allowed = others, 0, 0
        if self._allowed:
            self._allowed -= 1
            return True
        self._pauses += 1
        self._allowed = max(0, self._pauses - PAUSES)  # after the next pause
        self.pauses_until = time.monotonic() + PAUSE_SECONDS
        return False
