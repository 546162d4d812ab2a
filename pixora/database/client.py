"""MongoDB: how we connect, what its failures mean, and the indexes that must exist before anything is served."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import pymongo
from flask_pymongo import PyMongo
from pymongo import ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database as MongoDatabase
from pymongo.errors import (
    DuplicateKeyError,
    PyMongoError,
)

from pixora.database import deadline, failures
from pixora.database import indexes as index
from pixora.errors import DatabaseUnavailable
from pixora.observability import metrics

log = logging.getLogger(__name__)

Document = dict[str, Any]
Result = TypeVar("Result")
Indexes = index.Indexes

INDEX_BUILD_SECONDS = 3600
"""How long the indexes of a large collection may take. No request waits for so long: it is refused meanwhile."""

INDEX_CHECK_SECONDS = 3
"""For how long /health believes that the indexes are still there."""

RETRY_SECONDS = 5
"""After indexes could not be made, requests are refused for so long before the next try."""

ANSWER_SECONDS = 0.5
"""How long after its deadline an attempt to prepare may take to say what kept it."""


class Database:
    """The database of one application, with its indexes made at first use.

    Connects lazily: no connection is made before the first use, and so none before a fork.

    Args:
        mongo: The extension, bound to the application, whose `MONGO_URI` names the database.
        indexes: By the name of the collection.

    """

    def __init__(self, mongo: PyMongo, indexes: Indexes) -> None:
        if mongo.db is None:
            raise ValueError("MONGO_URI names no database")
        database: MongoDatabase[Document] = mongo.db
        # Set here and not left to the URI: an acknowledged write must survive the loss of the primary, and
        # a secondary may not have heard yet that an account is gone.
        self._database = database.with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(w="majority")
        )
        self._indexes = indexes
        self._deadline = database.client.options.timeout or float("inf")
        self._prepared = False
        self._preparing = threading.Lock()
        self._attempt: Future[None] | None = None
        self._next_try = 0.0
        self._next_check = 0.0

    def collection(self, name: str) -> Collection[Document]:
        """Return a collection. Making one costs 50 µs, so stores keep theirs."""
        return self._database[name]

    @contextlib.contextmanager
    def operation(
        self, operation: str | None = None, *, at_least: float = 0.001, at_most: float = float("inf")
    ) -> Iterator[None]:
        """Turn PyMongo's errors that mean "not now" into `DatabaseUnavailable`, and log them; others pass.

        The operations within have until `DATABASE_TIMEOUT_MS`; in a request, all of its operations together: one that
        waited out an election must not wait out the next, too.

        Args:
            operation: What the metrics call it, as in `users.find`; None for a part of another.
            at_least: The seconds that the operations within have also when those of the request are spent.
            at_most: The seconds that they have at most.

        """
        started = time.monotonic()
        spent = deadline.spent()
        try:
            with pymongo.timeout(min(at_most, max(self._deadline - spent, at_least))):  # 0 would be no deadline
                yield
        except PyMongoError as error:
            reason = failures.reason(error, self._database.client)
            if reason is None:
                raise
            log.error(
                "MongoDB is not available: %s",
                type(error).__name__,
                extra={"event": "database_unavailable", "reason": reason, "cause": failures.cause(error)},
            )
            raise _unavailable(reason) from error
        finally:
            seconds = time.monotonic() - started
            if operation is not None:
                metrics.database_operation(operation).observe(seconds)
            deadline.note(spent + seconds)  # of an operation within another only the outer one counts

    def prepare(self) -> None:
        """Make the indexes, once in the life of this process unless they get lost; does nothing when they are there.

        Requests that come at once share one attempt, and none waits for it for longer than for an operation.

        Raises:
            DatabaseUnavailable: they are not there yet, or could not be made; the reason is logged. Tried again after
                `RETRY_SECONDS`.

        """
        if self._prepared:
            return
        attempt = self._begin()
        # Here and not in the thread: the log line is to have the id of the request.
        with self.operation("prepare"):
            try:
                attempt.result(self._deadline + ANSWER_SECONDS)
            except TimeoutError as error:
                raise _unavailable("indexes") from error

    def ping(self) -> None:
        """Ask the primary for a sign of life, and every few seconds for the indexes.

        Raises:
            DatabaseUnavailable: there is none; or an index was lost, which is then made again.

        """
        self.prepare()
        with self.operation("ping"):
            self._database.command("ping")
            if time.monotonic() < self._next_check:
                return
            # Another worker may have been told to keep rows for another time: the one that has started last is right.
            there = all(fault.is_of_time for fault in index.faults(self._database, self._indexes))
        if not there:
            log.error("An index is gone. It is made again.", extra={"event": "indexes_lost"})
            self._prepared = False
            self._begin()
            raise _unavailable("indexes")
        self._next_check = time.monotonic() + INDEX_CHECK_SECONDS

    def ask(self, command: str) -> Document:
        """Return what the primary answers to a command that has no arguments."""
        with self.operation("ask"):
            return self._database.command(command)

    def index_faults(self) -> list[index.Fault]:
        """Return which indexes are missing, or not as they must be."""
        with self.operation("index_faults"):
            return list(index.faults(self._database, self._indexes))

    def repair_index(self, fault: index.Fault) -> str | None:
        """Repair an index, which may take minutes; return what a person has to do where that is impossible."""
        with self.operation("repair_index", at_least=INDEX_BUILD_SECONDS):
            return index.repair(self._database, fault)

    def _begin(self) -> Future[None]:
        """Return the attempt to prepare that is under way, or begin one.

        In a thread of its own: the indexes of a large collection take longer than any request may.
        """
        with self._preparing:
            if self._attempt is None or self._attempt.done():
                if self._prepared:
                    return self._attempt or Future()
                if time.monotonic() < self._next_try:
                    raise _unavailable("indexes")
                self._attempt = Future()
                threading.Thread(target=self._try_to_prepare, args=[self._attempt], daemon=True).start()
            return self._attempt

    def _try_to_prepare(self, attempt: Future[None]) -> None:
        try:
            with pymongo.timeout(self._deadline):
                faults = list(index.faults(self._database, self._indexes))
            with pymongo.timeout(INDEX_BUILD_SECONDS):
                for fault in faults:
                    self._repair_at_start(fault)
            self._next_check = time.monotonic() + INDEX_CHECK_SECONDS
            self._prepared = True
        except Exception as error:  # noqa: BLE001  # raised in the waiting requests
            attempt.set_exception(error)
        else:
            attempt.set_result(None)

    def _repair_at_start(self, fault: index.Fault) -> None:
        """Create a missing index, or apply a new lifetime from the settings; other faults are for `db upgrade`."""
        advice = "The index is wrong. Run: flask --app wsgi db upgrade"
        if fault.there is None or fault.is_of_time:
            advice = index.repair(self._database, fault) or ""
        if advice and fault.is_of_time:
            log.error("%s: Documents expire as before. %s", fault.name, advice, extra={"event": "indexes_unchanged"})
        elif advice:
            self._next_try = time.monotonic() + RETRY_SECONDS
            log.error("%s: %s", fault.name, advice, extra={"event": "indexes_failed"})
            raise _unavailable("indexes")


def upserted(operation: Callable[[], Result]) -> Result:
    """Do an upsert, and once more when another made the document at the same moment: now it is there to be updated."""
    try:
        return operation()
    except DuplicateKeyError:
        return operation()


def _unavailable(reason: str) -> DatabaseUnavailable:
    metrics.database_errors(reason).inc()
    return DatabaseUnavailable(reason)
