"""Metrics of the outbox, read from the database when they are asked for."""

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
"""For how long a look at the outbox is good. Several who scrape cost it no more than one."""


class OutboxMetrics(Collector):
    """The letters that wait, looked at when somebody asks. Absent, and not 0, when that cannot be known."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._looking = threading.Lock()
        self._backlog: Backlog | None = None
        self._good_until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield the age of the letter that is due for the longest time, and the numbers of letters."""
        now = clock.utcnow()
        if backlog := self._look():
            seconds = max(0.0, (now - backlog.due_since).total_seconds()) if backlog.due_since else 0.0
            yield GaugeMetricFamily(
                "pixora_outbox_oldest_seconds",
                "How long the letter that is due for the longest time has been due.",
                value=seconds,
            )
            number = GaugeMetricFamily(
                "pixora_outbox_letters",
                "Letters that are to be sent, 20,000 at most: not tried yet, or to be tried again after a failure.",
                labels=["state"],
            )
            number.add_metric(["new"], backlog.new)
            number.add_metric(["failed"], backlog.failed)
            yield number

    def _look(self) -> Backlog | None:
        # Whoever asks while another looks gets what was found before: the database may be slow, and threads are few.
        if time.monotonic() >= self._good_until and self._looking.acquire(blocking=False):
            try:
                self._backlog = None
                with contextlib.suppress(DatabaseUnavailable):
                    self._backlog = self._outbox.backlog()
                self._good_until = time.monotonic() + OUTBOX_SECONDS
            finally:
                self._looking.release()
        return self._backlog
