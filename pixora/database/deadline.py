"""The time that a request has left for the database.

All operations of a request share one limit: a request that has waited for one election must not wait for another.
Outside requests, in commands and tests, each operation has the whole limit.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_spent: ContextVar[float | None] = ContextVar("database_seconds", default=None)
"""The seconds that the operations of this request took; None outside a request."""


def begin() -> None:
    """Start a request with the whole limit."""
    _spent.set(0.0)


def end(_error: BaseException | None = None) -> None:
    """End the request. Flask passes the error that ended it, if any."""
    _spent.set(None)


def spent() -> float:
    """Return the seconds that the operations of this request took."""
    return _spent.get() or 0.0


def note(seconds: float) -> None:
    """Set the seconds that all operations of this request took; do nothing outside a request."""
    if _spent.get() is not None:
        _spent.set(seconds)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Do not count the operations in the `with` block, in which a request waits for other requests."""
    before = _spent.get()
    try:
        yield
    finally:
        _spent.set(before)
