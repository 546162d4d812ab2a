"""The one place that reads the clock, so that a test can move it."""

from datetime import UTC, datetime

__all__ = ["LEEWAY_SECONDS", "UTC", "utcnow"]

LEEWAY_SECONDS = 5
"""How far the clocks of machines may be apart: what another has just made may seem to come from the future."""


def utcnow() -> datetime:
    """Return the time in UTC, aware, to the millisecond: the precision that MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
