"""What is counted for the throttles: in MongoDB by the `limits` library, so that all workers and machines share it.

A window begins with the first attempt that is counted in it. A guess at a password is counted as being in flight,
until its verdict settles it, together with the number of all guesses: in one number and so in one atomic operation,
see `IN_FLIGHT`.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from limits import RateLimitItem
from limits.storage import MongoDBStorage
from pymongo import IndexModel, UpdateOne, WriteConcern
from pymongo.collection import Collection

from pixora.database import Database, Document, Indexes
from pixora.errors import DatabaseUnavailable

INDEXES: Indexes = {"throttles": [IndexModel([("expireAt", 1)], name="expireAt_1", expireAfterSeconds=0)]}
"""Counts are removed when their window has ended. The field is of `limits`' making."""

IN_FLIGHT = 1_000_000_000
"""A count is this times the guesses in flight, plus all guesses, those in flight included."""

HAND_BACK_SECONDS = 0.5
"""How long a request that has used up its time for the database may take to settle its guess."""


class Storage(MongoDBStorage):
    """`limits`' storage on the application's own client: it has our time-outs, and connects after the fork."""

    STORAGE_SCHEME = None  # type: ignore[assignment]  # not one to be found by URI

    def __init__(self, collection: Collection[Document]) -> None:
        super().__init__("mongodb://")  # the client of this URI is never made
        self._collection = collection

    @property
    def counters(self) -> Collection[Document]:
        """The collection of the counts; its index is ours to make."""
        return self._collection

    def __del__(self) -> None:
        """Leave the client open: others use it."""


class Bucket(NamedTuple):
    """A limit, and the key under which one client or account is counted."""

    name: str
    limit: RateLimitItem
    key: str


class Window(NamedTuple):
    """What is counted in a bucket now. `ends`: None when the window is yet to begin."""

    bucket: Bucket
    counted: int = 0
    in_flight: int = 0
    ends: datetime | None = None
    seconds_left: int = 1

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached, counting the guesses in flight."""
        return self.counted >= self.bucket.limit.amount

    @property
    def is_spent(self) -> bool:
        """Whether the limit is reached by what stays counted, so that only the window's end can help."""
        return self.counted - self.in_flight >= self.bucket.limit.amount


class Counts:
    """The counts of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @cached_property
    def _storage(self) -> Storage:
        self._database.prepare()
        # Not w: majority: what a failover loses are the guesses of a moment, and each login makes four writes here.
        return Storage(self._database.collection("throttles").with_options(write_concern=WriteConcern(w=1)))

    @contextmanager
    def deadline(self, operation: str) -> Iterator[None]:
        """Have one deadline for several operations: a request is refused in time, however slow each of them is.

        Args:
            operation: What the metrics call them together.

        """
        _ = self._storage  # the indexes have a deadline of their own
        with self._database.translated_errors(operation):
            yield

    def hit(self, bucket: Bucket) -> bool:
        """Count an attempt; return False when it is over the limit."""
        return self._storage.incr(bucket.key, bucket.limit.get_expiry()) <= bucket.limit.amount

    def look(self, *buckets: Bucket) -> list[Window]:
        """Read the windows of some buckets, in one operation and by the clock of the server, as `limits` does."""
        found = self._storage.counters.find(
            {"_id": {"$in": [bucket.key for bucket in buckets]}, "$expr": {"$gte": ["$expireAt", "$$NOW"]}},
            {"count": 1, "expireAt": 1, "left": {"$subtract": ["$expireAt", "$$NOW"]}},
        )
        documents = {document["_id"]: document for document in found}
        return [_window(bucket, documents.get(bucket.key)) for bucket in buckets]

    def forget(self, *prefixes: str) -> None:
        """Remove the counts of all keys that begin so; the prefixes have nothing in them that a pattern minds."""
        self._storage.counters.delete_many({"$or": [{"_id": {"$regex": f"^{prefix}"}} for prefix in prefixes]})

    def nothing_taken(self) -> "Taken":
        """Return what a guess has taken before it takes anything."""
        return Taken(self._database, self._storage.counters)

    def take(self, windows: Sequence[Window], taken: "Taken") -> bool:
        """Count a guess as in flight in all of the windows; in none, returning False, when one has become full."""
        for bucket, _, _, ends, _ in windows:
            expiry, began = bucket.limit.get_expiry(), time.monotonic()
            count = self._storage.incr(bucket.key, expiry, IN_FLIGHT + 1) % IN_FLIGHT
            taken.add(bucket.key, ends, began + expiry)
            if count > bucket.limit.amount:
                taken.hand_back()
                return False
            if count == bucket.limit.amount:
                taken.fills.append(bucket.name)
        return True


class Taken:
    """The counts that a guess has taken, to be settled once, and only in the windows in which they were taken.

    A window that was open before the guess is known by its end, to the millisecond. One that the guess has opened, or
    another at the same moment, lasts for the length of a window from then on.
    """

    def __init__(self, database: Database, collection: Collection[Document]) -> None:
        self._database = database
        self._collection = collection
        self._taken: list[tuple[Document, float]] = []
        self.fills: list[str] = []
        """The names of the limits in which it has taken the last place."""

    def add(self, key: str, ends: datetime | None, new_one_ends: float) -> None:
        """Note a count. `ends`: as stored, of a window that was open; `new_one_ends`: by the monotonic clock."""
        if ends is None:
            self._taken.append(({"_id": key}, new_one_ends))
        else:
            self._taken.append(({"_id": key, "expireAt": ends}, math.inf))

    def hand_back(self) -> None:
        """Take the counts back: the guess was right, or is none."""
        self._settle(-IN_FLIGHT - 1)

    def keep(self) -> None:
        """Let them stand: the guess was wrong."""
        self._settle(-IN_FLIGHT)

    @contextmanager
    def handed_back_on_failure(self) -> Iterator[None]:
        """Hand the counts back, if that is possible and quick, when the block raises; outside of any deadline."""
        try:
            yield
        except BaseException:
            with suppress(DatabaseUnavailable):
                self.hand_back()
            raise

    def _settle(self, amount: int) -> None:
        now = time.monotonic()
        changes = [UpdateOne(window, {"$inc": {"count": amount}}) for window, ends in self._taken if now < ends]
        self._taken = []  # whatever comes of it: what may have been done is not done again
        if changes:
            with self._database.translated_errors(at_least=HAND_BACK_SECONDS):
                self._collection.bulk_write(changes, ordered=False)


def _window(bucket: Bucket, document: Document | None) -> Window:
    if document is None:
        return Window(bucket)
    in_flight, counted = divmod(document["count"], IN_FLIGHT)
    return Window(bucket, counted, in_flight, document["expireAt"], max(1, math.ceil(document["left"] / 1000)))
