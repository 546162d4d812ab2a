"""The time that a request has left for the database.

All operations of a request share one limit: a request that has waited for one election must not wait for another.
Outside requests, in commands and tests, each operation has the whole limit.
"""

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_spent: ContextVar[float | None] = ContextVar("database_seconds", default=None)
"""The seconds that the operations of this request took; None outside a request."""


class Deadline:
    """WSGI middleware that gives each request the whole limit."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environment: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle a request."""
        _spent.set(0.0)
        try:
            return self._app(environment, start_response)
        finally:
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
