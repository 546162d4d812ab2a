"""Metrics of the second factors, read from the database when they are collected."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pixora.accounts.factors import FactorStore
from pixora.errors import DatabaseUnavailable

KEPT_SECONDS = 60
"""How long a result is reused, so that several scrapers cost one query."""


class FactorMetrics(Collector):
    """Counts users with a second factor by the key of their secret; absent while the database is not available.

    Args:
        factors: The store.
        key_names: The names of `DATA_KEYS`.

    """

    def __init__(self, factors: FactorStore, key_names: Sequence[str]) -> None:
        self._factors = factors
        self._key_names = key_names
        self._looking = threading.Lock()
        self._counts: dict[str, int] | None = None
        self._good_until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield the number of users by key, and whether `DATA_KEYS` has that key."""
        counts = self._look()
        if counts is None:
            return
        number = GaugeMetricFamily(
            "pixora_second_factors",
            "Users with a second factor, by the name of the data key that encrypts its secret.",
            labels=["key", "readable"],
        )
        for key in dict.fromkeys((*self._key_names, *counts)):
            number.add_metric([key, "yes" if key in self._key_names else "no"], counts.get(key, 0))
        yield number

    def _look(self) -> dict[str, int] | None:
        # A concurrent scrape gets the previous result instead of blocking a thread on a slow database.
        if time.monotonic() >= self._good_until and self._looking.acquire(blocking=False):
            try:
                self._counts = None
                with contextlib.suppress(DatabaseUnavailable):
                    self._counts = self._factors.count_by_key()
                self._good_until = time.monotonic() + KEPT_SECONDS
            finally:
                self._looking.release()
        return self._counts
