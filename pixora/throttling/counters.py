"""Counters of the throttles, in MongoDB, so that all workers and machines share them.

`limits` reads the limits, names the keys and says how long a window lasts. The storage is ours, because that of
`limits` has one number for each key, and an attempt to log in needs two: what stays counted, and what is in flight.
Ours also takes all the counters of a request in one command, where `limits` sends one for each.

A document is `_id` (the key), `count`, `expireAt` (when the window ends) and, of an attempt to log in, `leases` (`id`
and `until` of each attempt in flight) and `filled_by` (the lease of the wrong attempt that has reached the limit). A
window begins with the first attempt that is counted in it. All times are those of the server's clock.
"""

import math
import secrets
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

from limits import RateLimitItem
from pymongo import IndexModel, UpdateOne, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from pixora.database.client import Database, Document, Indexes
from pixora.database.failures import DUPLICATE_KEY

INDEXES: Indexes = {"throttles": [IndexModel([("expireAt", 1)], name="expireAt_1", expireAfterSeconds=0)]}
"""Counters are removed when their window has ended."""

HAND_BACK_SECONDS = 0.5
"""How long a request that has used up its time for the database may take to settle its attempt."""

CONVERSION_FAILURE = 241
"""What the server calls `_STOP`."""

_STOP: Document = {"$toInt": {"$concat": ["full: ", "$_id"]}}
"""Fails, which stops a series of updates: the next counters are not touched. No update has a statement for that."""

_IS_OPEN: Document = {"$gt": ["$expireAt", "$$NOW"]}
_COUNTED: Document = {"$cond": [_IS_OPEN, {"$ifNull": ["$count", 0]}, 0]}
_IN_FLIGHT: Document = {
    "$filter": {"input": {"$ifNull": ["$leases", []]}, "as": "lease", "cond": {"$gt": ["$$lease.until", "$$NOW"]}}
}


class Bucket(NamedTuple):
    """A counter, and how far it may go.

    Attributes:
        name: Of the setting, for logs and metrics.
        limit: What the setting says.
        key: Under which one client or account is counted.
        amount: The most that may be counted: what the limit says, or a share of that.
        restarts: Whether it is set to one, and its window begins again, whatever was counted before.

    """

    name: str
    limit: RateLimitItem
    key: str
    amount: int
    restarts: bool = False


class Window(NamedTuple):
    """What is counted in a bucket now. `lease_seconds`: until the first of those in flight has expired."""

    bucket: Bucket
    counted: int = 0
    in_flight: int = 0
    seconds_left: int = 1
    lease_seconds: int = 1

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached, counting what is in flight."""
        return self.counted + self.in_flight >= self.bucket.amount

    @property
    def is_spent(self) -> bool:
        """Whether the limit is reached by what stays counted, so that only the window's end can help."""
        return self.counted >= self.bucket.amount

    @property
    def retry_after(self) -> int:
        """The seconds after which there is room, if nobody else takes it."""
        return self.seconds_left if self.is_spent else self.lease_seconds


class Attempt:
    """An attempt to check a password, in flight in some buckets until it is settled or its lease expires.

    Attributes:
        is_correct: Set by the caller that has checked the password.
        limits_reached: After a wrong attempt, the names of the limits that it was the last one to fit in.

    """

    def __init__(self, *buckets: Bucket) -> None:
        self.buckets = buckets
        self.lease = secrets.token_hex(8)
        self.is_correct = False
        self.limits_reached: list[str] = []


class Counters:
    """The counters of one application. Every method is one command, and may raise `DatabaseUnavailable`.

    Args:
        database: Where they are.
        lease: How long an attempt is in flight at most: longer than a request takes to settle it.

    """

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease

    @cached_property
    def _collection(self) -> Collection[Document]:
        self._database.prepare()
        # Not w: majority: what a failover loses are the attempts of a moment.
        return self._database.collection("throttles").with_options(write_concern=WriteConcern(w=1))

    def take(self, attempt: Attempt) -> bool:
        """Count an attempt as in flight in all of its buckets; in none, returning False, when one of them is full.

        Buckets after the first full one are not touched: an attempt that its own network's limits refuse takes no
        place from anybody else.
        """
        lease = {"id": attempt.lease, "until": {"$add": ["$$NOW", self._lease / timedelta(milliseconds=1)]}}
        taking = {"leases": {"$concatArrays": ["$leases", [lease]]}}
        full = self._fill("throttles.take", attempt.buckets, taking)
        if full:  # the first ones were taken
            self.hand_back(attempt)
        return full is None

    def hand_back(self, attempt: Attempt) -> None:
        """Forget an attempt: it was right, or came to no verdict."""
        ending = {"$pull": {"leases": {"id": attempt.lease}}}
        self._write("throttles.settle", [UpdateOne({"_id": bucket.key}, ending) for bucket in attempt.buckets])

    def keep(self, attempt: Attempt) -> None:
        """Let an attempt stay counted: it was wrong."""
        updates = []
        for bucket in attempt.buckets:
            others = {"$filter": {"input": "$leases", "cond": {"$ne": ["$$this.id", attempt.lease]}}}
            counting = {"$set": {"count": {"$add": ["$count", 1]}, "leases": others}}
            has_filled = {"$eq": ["$count", bucket.amount]}
            telling = {"$set": {"filled_by": {"$cond": [has_filled, attempt.lease, "$filled_by"]}}}
            updates.append(UpdateOne({"_id": bucket.key}, [counting, telling]))
        self._write("throttles.settle", updates)

    def filled_by(self, attempt: Attempt) -> list[str]:
        """Return the names of the limits that a wrong attempt has reached; each is reached by one attempt."""
        keys = [bucket.key for bucket in attempt.buckets]
        collection = self._collection  # the indexes have a deadline of their own; so below
        with self._database.operation("throttles.look"):
            filled = collection.distinct("_id", {"_id": {"$in": keys}, "filled_by": attempt.lease})
        # A setting may have two buckets, of a network and of the larger one around it.
        return list(dict.fromkeys(bucket.name for bucket in attempt.buckets if bucket.key in filled))

    def count(self, *buckets: Bucket) -> bool:
        """Count something in all of the buckets; in none, returning False, when one of them is full."""
        full = self._fill("throttles.count", buckets, {"count": {"$add": ["$count", 1]}})
        if full:
            self.refund(*buckets[:full])
        return full is None

    def refund(self, *buckets: Bucket) -> None:
        """Take back what `count` has counted."""
        taking_back = [
            UpdateOne({"_id": bucket.key, "count": {"$gt": 0}}, {"$inc": {"count": -1}}) for bucket in buckets
        ]
        self._write("throttles.refund", taking_back)

    def look(self, *buckets: Bucket) -> list[Window]:
        """Read the windows of some buckets."""
        wanted = {
            "count": _COUNTED,
            "in_flight": {"$size": _IN_FLIGHT},
            "window": {"$subtract": ["$expireAt", "$$NOW"]},
            "lease": {"$subtract": [{"$let": {"vars": {"live": _IN_FLIGHT}, "in": {"$min": "$$live.until"}}}, "$$NOW"]},
        }
        collection = self._collection
        with self._database.operation("throttles.look"):
            found = collection.find({"_id": {"$in": [bucket.key for bucket in buckets]}}, wanted)
            documents = {document["_id"]: document for document in found}
        return [_window(bucket, documents.get(bucket.key)) for bucket in buckets]

    def forget(self, *prefixes: str) -> None:
        """Remove the counters of all keys that begin so; the prefixes have nothing in them that a pattern minds."""
        collection = self._collection
        with self._database.operation("throttles.forget"):
            collection.delete_many({"$or": [{"_id": {"$regex": f"^{prefix}"}} for prefix in prefixes]})

    def _fill(self, operation: str, buckets: Sequence[Bucket], taking: Document) -> int | None:
        """Take a place in bucket after bucket; return the index of the first that has none, or None."""
        updates = [UpdateOne({"_id": bucket.key}, _stages(bucket, taking), upsert=True) for bucket in buckets]
        collection, done = self._collection, 0
        with self._database.operation(operation):
            while True:
                try:
                    collection.bulk_write(updates[done:])
                except BulkWriteError as error:
                    failures = [(int(failure["index"]), failure["code"]) for failure in error.details["writeErrors"]]
                    if not failures or failures[0][1] not in (CONVERSION_FAILURE, DUPLICATE_KEY):
                        raise
                    done += failures[0][0]
                    if failures[0][1] == CONVERSION_FAILURE:
                        return done
                    # Another request has made this counter at the same moment: now it is there to be updated.
                else:
                    return None

    def _write(self, operation: str, updates: Sequence[UpdateOne]) -> None:
        collection = self._collection
        with self._database.operation(operation, at_least=HAND_BACK_SECONDS):
            collection.bulk_write(updates, ordered=False)


def _stages(bucket: Bucket, taking: Document) -> list[Document]:
    """Return the update that takes a place in a bucket, or fails when there is none; it may make the document."""
    ends = {"$add": ["$$NOW", bucket.limit.get_expiry() * 1000]}
    if bucket.restarts:
        return [{"$set": {"count": 1, "expireAt": ends}}]
    today: dict[str, Any] = {
        "count": _COUNTED,
        "leases": _IN_FLIGHT,
        "expireAt": {"$cond": [_IS_OPEN, "$expireAt", ends]},
        "filled_by": {"$cond": [_IS_OPEN, "$filled_by", "$$REMOVE"]},
    }
    has_room = {"$lt": [{"$add": ["$count", {"$size": "$leases"}]}, bucket.amount]}
    return [{"$set": today}, {"$set": {name: {"$cond": [has_room, value, _STOP]} for name, value in taking.items()}}]


def _window(bucket: Bucket, document: Document | None) -> Window:
    if document is None:
        return Window(bucket)
    seconds = [max(1, math.ceil((document.get(name) or 0) / 1000)) for name in ("window", "lease")]
    return Window(bucket, document["count"], document["in_flight"], *seconds)
