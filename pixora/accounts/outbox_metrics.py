"""Metrics of the outbox, read from the database when they are collected."""

import contextlib
import threading
import time
from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pixora import clock
from pixora.accounts.outbox import Backlog, Outbox
from pixora.errors import DatabaseUnavailable

OUTBOX_SECONDS = 10
"""How long a result is reused, so that several scrapers cost one query."""


class OutboxMetrics(Collector):
    """Collects the backlog of the outbox; absent, instead of 0, while the database is not available."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._lock = threading.Lock()
        self._backlog: Backlog | None = None
        self._valid_until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield the age of the e-mail that has been due longest, and the number of e-mails by state."""
        now = clock.utcnow()
        if backlog := self._look():
            seconds = max(0.0, (now - backlog.due_since).total_seconds()) if backlog.due_since else 0.0
            yield GaugeMetricFamily(
                "pixora_outbox_oldest_seconds",
                "Seconds since the e-mail that has been due longest became due.",
                value=seconds,
            )
            number = GaugeMetricFamily(
                "pixora_outbox_letters",
                "E-mails to be sent, from at most 20,000 users: new, or failed and to be tried again.",
                labels=["state"],
            )
            number.add_metric(["new"], backlog.new)
            number.add_metric(["failed"], backlog.failed)
            yield number

    def _look(self) -> Backlog | None:
        # A concurrent scrape gets the previous result instead of blocking a thread on a slow database.
        if time.monotonic() >= self._valid_until and self._lock.acquire(blocking=False):
            try:
                self._backlog = None
                with contextlib.suppress(DatabaseUnavailable):
                    self._backlog = self._outbox.backlog()
                self._valid_until = time.monotonic() + OUTBOX_SECONDS
            finally:
                self._lock.release()
        return self._backlog
