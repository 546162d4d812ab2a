"""The time that a request has left for the database.

All operations of a request share one deadline: a request that has waited out one election must not wait out the next,
too. Outside a request, in commands and tests, each operation has the whole deadline.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_spent: ContextVar[float | None] = ContextVar("database_seconds", default=None)
"""The seconds that the operations of this request have taken; None outside a request."""


def begin() -> None:
    """Give a new request its whole deadline."""
    _spent.set(0.0)


def end(_error: BaseException | None = None) -> None:
    """Forget the request. Flask hands in the error that ended it."""
    _spent.set(None)


def spent() -> float:
    """Return the seconds that the operations of this request have taken."""
    return _spent.get() or 0.0


def note(seconds: float) -> None:
    """Note the seconds that the operations of this request have taken in all; do nothing outside a request."""
    if _spent.get() is not None:
        _spent.set(seconds)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Do not count the operations in this block: in them, a request waits for other requests."""
    before = _spent.get()
    try:
        yield
    finally:
        _spent.set(before)
