"""The only module that reads the clock, so that tests can move it."""

import time
from datetime import UTC, datetime

__all__ = ["LEEWAY_SECONDS", "UTC", "utcnow"]

LEEWAY_SECONDS = 5
"""How far the clocks of two machines may differ: a token issued by another may seem to come from the future."""


def utcnow() -> datetime:
    """Return the time in UTC, aware, in MongoDB's precision of a millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
