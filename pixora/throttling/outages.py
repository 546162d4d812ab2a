"""The last outage in which the database kept refreshes from being answered, known to all workers.

Meanwhile the grace period of a refresh token passes, and its client can do nothing about it. So a worker that could
not answer a refresh reports that as soon as the database takes writes again, also for workers that had
nothing to do. Only refreshes count: no other request, however expensive, makes an outage.

The report is a document among the counters of the throttles, which expire by themselves.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from pixora import clock
from pixora.database.client import Database, upserted
from pixora.errors import DatabaseUnavailable, Overloaded

KEY = "OUTAGE"
"""The id of the document."""

LONGEST = timedelta(seconds=60)
"""How much of an outage counts, so that no series of them makes a grace period endless: outages with less than this
between them count as one."""

RETRIES = timedelta(seconds=10)
"""How long after an outage its clients come back: twice as long as `Retry-After` tells them to wait."""

RECOVERED_SECONDS = 1.0
"""An outage ends when the database acknowledges a report within this time."""

PAUSE_SECONDS = 0.25
"""The time between two attempts to report."""

REPORT_SECONDS = 1.0
"""How long to wait for reports of other workers: longer than a pause and a write."""


MAX_WAITING = 2
"""Threads of a worker that may wait for reports at once: who holds many sessions must not keep it from others."""


class Outage(NamedTuple):
    """A time in which the database was not available, or only at times."""

    began: datetime
    ended: datetime

    def renews(self, since: datetime, grace: timedelta, now: datetime) -> bool:
        """Tell whether it interrupted a grace period, which began `since` and begins again with its end."""
        ended = min(self.ended, self.began + LONGEST)
        return since <= self.ended and self.began <= since + grace and now <= ended + max(grace, RETRIES)


class Outages:
    """Reports and finds outages, for one application."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database.collection("throttles")
        self._changing = threading.Lock()
        self._waiting = threading.Semaphore(MAX_WAITING)
        self._reporter: threading.Thread | None = None
        self._closing = threading.Event()
        self._began: datetime | None = None  # of the outage that is being reported

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Report an outage if the `with` block raises `DatabaseUnavailable`."""
        began = clock.utcnow()
        try:
            yield
        except DatabaseUnavailable:
            with self._changing:
                is_reported = self._began is not None
                self._began = min(self._began or began, began)
                if not is_reported:
                    self._reporter = threading.Thread(target=self._report, name="outage-report", daemon=True)
                    self._reporter.start()
            raise

    def interrupted(self, since: datetime, grace: timedelta, now: datetime) -> bool:
        """Tell whether an outage makes a grace period that began at `since` begin again, and last until now.

        If none is known, it waits for the reports of other workers.

        Raises:
            DatabaseUnavailable: MongoDB does not answer.
            Overloaded: `MAX_WAITING` requests wait already; the client may come again.

        """
        if now > since + grace + LONGEST + max(grace, RETRIES):
            return False
        if self._renews(since, grace, now):
            return True
        if not self._waiting.acquire(blocking=False):
            raise Overloaded
        try:
            time.sleep(REPORT_SECONDS)
        finally:
            self._waiting.release()
        return self._renews(since, grace, now)

    def close(self) -> None:
        """End the thread that reports an outage, for processes that create many applications."""
        self._closing.set()
        if self._reporter is not None:
            self._reporter.join()

    def _renews(self, since: datetime, grace: timedelta, now: datetime) -> bool:
        with self._database.operation("outages.find"):
            found = self._collection.find_one({"_id": KEY})
        return found is not None and Outage(found["began"], found["ended"]).renews(since, grace, now)

    def _report(self) -> None:
        """Report the outage again and again until it has ended; give up one that is too long to matter."""
        give_up_at = time.monotonic() + 2 * LONGEST.total_seconds()
        while time.monotonic() < give_up_at and not self._store():
            if self._closing.wait(PAUSE_SECONDS):
                break
        with self._changing:
            self._began = None

    def _store(self) -> bool:
        """Store that the outage lasts until now; return whether the database acknowledged it in time."""
        started, now, began = time.monotonic(), clock.utcnow(), self._began
        goes_on = {"$gte": ["$ended", {"$literal": cast(datetime, began) - LONGEST}]}
        stored = {
            "began": {"$cond": [goes_on, {"$min": ["$began", began]}, began]},
            "ended": {"$max": ["$ended", now]},
            "expireAt": {"$add": [now, int(10 * LONGEST.total_seconds() * 1000)]},
        }
        with suppress(DatabaseUnavailable), self._database.operation("outages.report"):
            # Acknowledged by a majority, so that an outage of all but the primary has not ended.
            upserted(lambda: self._collection.update_one({"_id": KEY}, [{"$set": stored}], upsert=True))
            return time.monotonic() - started < RECOVERED_SECONDS
        return False
