"""Limits as the settings have them, in the notation of the library `limits`: `10 per 15 minute`.

That library imports all its storages too, which takes a 25th of the time to start and 2 MB in each process.
"""

import re
from typing import NamedTuple

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 30 * 86_400, "year": 360 * 86_400}

_NOTATION = re.compile(r"\s*([0-9]+)\s*(?:/|per)\s*([0-9]+)?\s*([a-z]+?)s?\s*", re.IGNORECASE)


class Limit(NamedTuple):
    """So many attempts in so many units of time."""

    amount: int
    multiple: int
    unit: str

    @property
    def seconds(self) -> int:
        """The length of the window."""
        return self.multiple * SECONDS[self.unit]


def parse(text: str) -> Limit:
    """Return the limit in a setting that `config` has checked.

    Raises:
        ValueError: It is in another notation.

    """
    found = _NOTATION.fullmatch(text)
    if found is None or found[3].lower() not in SECONDS:
        raise ValueError("not a limit")
    return Limit(int(found[1]), int(found[2] or 1), found[3].lower())
