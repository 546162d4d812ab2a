"""Counters of the throttles, in MongoDB, so that all workers and machines share them.

`limits` parses the limits, names the keys and knows the length of a window. Its own storages do not fit: they have one
number for each key, and a login needs two: wrong attempts, and attempts in flight. With both in one number, an attempt
in flight cannot expire by itself, nor be told from a wrong one. They also send one command for each counter, where this
one takes room in all counters of a request with one.

A document is `_id` (the key), `count`, `expireAt` (the end of the window) and, for logins, `leases` (`id` and `until`
of each attempt in flight) and `filled_by` (the lease of the wrong attempt that reached the limit). A window begins
with the first attempt counted in it. At the end of one and the beginning of the next, twice the limit may come within
a short time. Where that is too much, the window moves: `wrong` has the time at which each wrong attempt stops
counting, and `count` is their number. All times are of the server's clock.
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
"""MongoDB removes counters whose window has ended."""

SETTLE_SECONDS = 0.5
"""How long a request without time left for the database may take to settle its attempt."""

CONVERSION_FAILURE = 241
"""The error code of `_STOP`."""

_STOP: Document = {"$toInt": {"$concat": ["full: ", "$_id"]}}
"""An expression that fails, which stops a bulk write before the next counter. Updates have no statement for that."""

_IS_OPEN: Document = {"$gt": ["$expireAt", "$$NOW"]}
_COUNTED: Document = {"$cond": [_IS_OPEN, {"$ifNull": ["$count", 0]}, 0]}
_IN_FLIGHT: Document = {
    "$filter": {"input": {"$ifNull": ["$leases", []]}, "as": "lease", "cond": {"$gt": ["$$lease.until", "$$NOW"]}}
}
_WRONG: Document = {"$filter": {"input": {"$ifNull": ["$wrong", []]}, "cond": {"$gt": ["$$this", "$$NOW"]}}}
_MOVES: Document = {"$isArray": ["$wrong"]}


class Bucket(NamedTuple):
    """A counter and its limit.

    Where the window moves, the limit holds for any period of its length: each wrong attempt counts for so long. This
    stores a date for each, and is for attempts only.
    """

    name: str  # the setting, for logs and metrics
    limit: RateLimitItem
    key: str  # the id of the counter
    amount: int  # the highest count: that of the limit, or a share of it
    restarts: bool = False  # whether to set the counter to one and begin its window again, whatever it was
    counts: bool = True  # whether to count, or only to require that there is room
    moves: bool = False


class Window(NamedTuple):
    """The state of a counter. `lease_seconds` are left until the first lease of an attempt in flight expires."""

    bucket: Bucket
    counted: int = 0
    in_flight: int = 0
    seconds_left: int = 1
    lease_seconds: int = 1

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached, with attempts in flight."""
        return self.counted + self.in_flight >= self.bucket.amount

    @property
    def is_spent(self) -> bool:
        """Whether the limit is reached without attempts in flight, until the window ends."""
        return self.counted >= self.bucket.amount

    @property
    def retry_after(self) -> int:
        """The seconds until there is room."""
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
    """The counters of one application. Every method is one command and may raise `DatabaseUnavailable`.

    The lease is how long an attempt may be in flight: longer than a request takes to settle it.
    """

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease

    @cached_property
    def _collection(self) -> Collection[Document]:
        self._database.prepare()
        # Not w: majority, because a failover loses only the attempts of a moment.
        return self._database.collection("throttles").with_options(write_concern=WriteConcern(w=1))

    def take(self, attempt: Attempt) -> bool:
        """Count an attempt as in flight in all its buckets; if one is full, count it in none and return False.

        Buckets after the first full one are not touched: a refused network takes no room from accounts.
        """
        lease = {"id": attempt.lease, "until": {"$add": ["$$NOW", self._lease / timedelta(milliseconds=1)]}}
        taking = {"leases": {"$concatArrays": ["$leases", [lease]]}}
        full = self._fill("throttles.take", attempt.buckets, taking)
        if full:  # buckets before it have counted the attempt
            self.hand_back(attempt)
        return full is None

    def hand_back(self, attempt: Attempt) -> None:
        """Forget an attempt that was correct or has no verdict."""
        ending = {"$pull": {"leases": {"id": attempt.lease}}}
        self._write("throttles.settle", [UpdateOne({"_id": bucket.key}, ending) for bucket in attempt.buckets])

    def keep(self, attempt: Attempt) -> None:
        """Keep a wrong attempt counted, no longer in flight."""
        updates = []
        for bucket in attempt.buckets:
            others = {"$filter": {"input": "$leases", "cond": {"$ne": ["$$this.id", attempt.lease]}}}
            ending = {"$set": {"leases": others}}
            has_filled = {"$eq": ["$count", bucket.amount]}
            marking = {"$set": {"filled_by": {"$cond": [has_filled, attempt.lease, "$filled_by"]}}}
            updates.append(UpdateOne({"_id": bucket.key}, [ending, *_counting(bucket), marking]))
        self._write("throttles.settle", updates)

    def limits_reached_by(self, attempt: Attempt) -> list[str]:
        """Return the names of the limits that this wrong attempt has reached; later ones do not reach them again."""
        keys = [bucket.key for bucket in attempt.buckets]
        collection = self._collection  # before the operation: creating indexes has a deadline of its own
        with self._database.operation("throttles.look"):
            filled = collection.distinct("_id", {"_id": {"$in": keys}, "filled_by": attempt.lease})
        # A setting may have two buckets, for a network and the wide network around it.
        return list(dict.fromkeys(bucket.name for bucket in attempt.buckets if bucket.key in filled))

    def count(self, *buckets: Bucket) -> bool:
        """Count one in all buckets; if one is full, count in none and return False."""
        full = self._fill("throttles.count", buckets, {"count": {"$add": ["$count", 1]}})
        if full:
            self.refund(*buckets[:full])
        return full is None

    def refund(self, *buckets: Bucket) -> None:
        """Take back what `count` counted."""
        taking_back = [
            UpdateOne({"_id": bucket.key, "count": {"$gt": 0}}, {"$inc": {"count": -1}})
            for bucket in buckets
            if bucket.counts
        ]
        if taking_back:
            self._write("throttles.refund", taking_back)

    def read(self, *buckets: Bucket) -> list[Window]:
        """Read the state of buckets."""
        wanted = {
            "count": {"$cond": [_MOVES, {"$size": _WRONG}, _COUNTED]},
            "in_flight": {"$size": _IN_FLIGHT},
            "window": {"$subtract": [{"$cond": [_MOVES, {"$min": _WRONG}, "$expireAt"]}, "$$NOW"]},
            "lease": {"$subtract": [{"$let": {"vars": {"live": _IN_FLIGHT}, "in": {"$min": "$$live.until"}}}, "$$NOW"]},
        }
        collection = self._collection
        with self._database.operation("throttles.look"):
            found = collection.find({"_id": {"$in": [bucket.key for bucket in buckets]}}, wanted)
            documents = {document["_id"]: document for document in found}
        return [_window(bucket, documents.get(bucket.key)) for bucket in buckets]

    def forget(self, *prefixes: str) -> None:
        """Remove the counters whose keys begin with a prefix, which contains no special characters of a pattern."""
        collection = self._collection
        with self._database.operation("throttles.forget"):
            collection.delete_many({"$or": [{"_id": {"$regex": f"^{prefix}"}} for prefix in prefixes]})

    def _fill(self, operation: str, buckets: Sequence[Bucket], taking: Document) -> int | None:
        """Take room in bucket after bucket; return the index of the first full one, or None."""
        updates = [UpdateOne({"_id": bucket.key}, _stages(bucket, taking), upsert=bucket.counts) for bucket in buckets]
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
                    # DUPLICATE_KEY: another request has just created the counter. Now the update finds it.
                else:
                    return None

    def _write(self, operation: str, updates: Sequence[UpdateOne]) -> None:
        collection = self._collection
        with self._database.operation(operation, at_least=SETTLE_SECONDS):
            collection.bulk_write(updates, ordered=False)


def _stages(bucket: Bucket, taking: Document) -> list[Document]:
    """Return the update that takes room in a bucket, or fails if it is full."""
    ends = _end_of_window(bucket)
    if bucket.restarts:
        return [{"$set": {"count": 1, "expireAt": ends}}]
    current: dict[str, Any] = {
        "count": _COUNTED,
        "leases": _IN_FLIGHT,
        "expireAt": {"$cond": [_IS_OPEN, "$expireAt", ends]},
        "filled_by": {"$cond": [_IS_OPEN, "$filled_by", "$$REMOVE"]},
    }
    if not bucket.counts:
        taking = {"count": "$count"}
    if bucket.moves:
        current = {"count": {"$size": _WRONG}, "wrong": _WRONG, "leases": _IN_FLIGHT, "expireAt": ends}
    has_room = {"$lt": [{"$add": ["$count", {"$size": "$leases"}]}, bucket.amount]}
    return [{"$set": current}, {"$set": {name: {"$cond": [has_room, value, _STOP]} for name, value in taking.items()}}]


def _counting(bucket: Bucket) -> list[Document]:
    """Return the stages that count a wrong attempt."""
    if not bucket.moves:
        return [{"$set": {"count": {"$add": ["$count", 1]}}}]
    ends = _end_of_window(bucket)
    noting = {"wrong": {"$concatArrays": [_WRONG, [ends]]}, "expireAt": ends}
    return [{"$set": noting}, {"$set": {"count": {"$size": "$wrong"}}}]


def _end_of_window(bucket: Bucket) -> Document:
    """Return the expression of the end of a window that begins now."""
    return {"$add": ["$$NOW", bucket.limit.get_expiry() * 1000]}


def _window(bucket: Bucket, document: Document | None) -> Window:
    if document is None:
        return Window(bucket)
    seconds = [max(1, math.ceil((document.get(name) or 0) / 1000)) for name in ("window", "lease")]
    return Window(bucket, document["count"], document["in_flight"], *seconds)
