"""Metrics of accounts, read from the database when they are collected."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pixora import clock
from pixora.accounts.factors import FactorStore
from pixora.accounts.outbox import Outbox
from pixora.errors import DatabaseUnavailable

OUTBOX_SECONDS, FACTOR_SECONDS = 10, 60
"""How long a result is reused, so that several scrapers cost one query."""

Result = TypeVar("Result")


class Cached(Generic[Result]):
    """The result of a query for so many seconds; None while the database is not available."""

    def __init__(self, query: Callable[[], Result], seconds: float) -> None:
        self._query = query
        self._seconds = seconds
        self._lock = threading.Lock()
        self._result: Result | None = None
        self._valid_until = 0.0

    def get(self) -> Result | None:
        """Return the result."""
        # A concurrent scrape gets the previous result instead of blocking a thread on a slow database.
        if time.monotonic() >= self._valid_until and self._lock.acquire(blocking=False):
            try:
                self._result = None
                with suppress(DatabaseUnavailable):
                    self._result = self._query()
                self._valid_until = time.monotonic() + self._seconds
            finally:
                self._lock.release()
        return self._result


class AccountMetrics(Collector):
    """The backlog of the outbox, and the users with a second factor by the key of their secret.

    Absent, instead of 0, while the database is not available.
    """

    def __init__(self, outbox: Outbox, factors: FactorStore, key_names: Sequence[str]) -> None:
        self._backlog = Cached(outbox.backlog, OUTBOX_SECONDS)
        self._users_by_key = Cached(factors.count_by_key, FACTOR_SECONDS)
        self._key_names = key_names

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._of_outbox()
        yield from self._of_factors()

    def _of_outbox(self) -> Iterator[Metric]:
        now = clock.utcnow()
        backlog = self._backlog.get()
        if backlog is None:
            return
        yield GaugeMetricFamily(
            "pixora_outbox_oldest_seconds",
            "Seconds since the e-mail that has been due longest became due.",
            value=max(0.0, (now - backlog.due_since).total_seconds()) if backlog.due_since else 0.0,
        )
        number = GaugeMetricFamily(
            "pixora_outbox_letters",
            "E-mails to be sent, from at most 20,000 users: new, or failed and to be tried again.",
            labels=["state"],
        )
        number.add_metric(["new"], backlog.new)
        number.add_metric(["failed"], backlog.failed)
        yield number

    def _of_factors(self) -> Iterator[Metric]:
        counts = self._users_by_key.get()
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
