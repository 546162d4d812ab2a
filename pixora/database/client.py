"""The MongoDB client: read and write concerns, time limits, and indexes that are created before the first use."""

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
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
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
"""How long building the indexes of a large collection may take. Meanwhile requests get 503."""

INDEX_CHECK_SECONDS = 3
"""How long /health relies on its last check of the indexes."""

RETRY_SECONDS = 5
"""How long requests get 503 after indexes could not be created, until the next attempt."""

ANSWER_SECONDS = 0.5
"""How much longer than its deadline an attempt to create the indexes may take to report why it failed."""


class Database:
    """The database of one application, whose indexes are created at the first use.

    It connects at the first use, and therefore never before gunicorn forks.

    Args:
        mongo: The extension, bound to the application, whose `MONGO_URI` names the database.
        indexes: By the name of the collection.

    """

    def __init__(self, mongo: PyMongo, indexes: Indexes) -> None:
        if mongo.db is None:
            raise ValueError("MONGO_URI names no database")
        database: MongoDatabase[Document] = mongo.db
        # Whatever the URI says: an acknowledged write must survive the loss of the primary, and a secondary may not
        # know yet that an account was deleted.
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
        """Return a collection. Creating the object takes 50 µs, so stores keep it."""
        return self._database[name]

    @contextlib.contextmanager
    def operation(
        self, operation: str | None = None, *, at_least: float = 0.001, at_most: float = float("inf")
    ) -> Iterator[None]:
        """Limit the time of the `with` block, measure it, and raise outages of MongoDB as `DatabaseUnavailable`.

        The limit is `DATABASE_TIMEOUT_MS` for all operations of a request together: a request that has waited for one
        election must not wait for another. Errors that are not outages are raised unchanged.

        Args:
            operation: The name in the metrics, for example `users.find`; None for a part of another operation.
            at_least: The seconds that the block has even if the request has no time left.
            at_most: The seconds that it has at most.

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
            deadline.note(spent + seconds)  # includes operations within this one, which must not count twice

    def prepare(self) -> None:
        """Create the indexes, once in each process; create them again if `ping` has found that one is missing.

        Parallel requests share one attempt, and wait for it no longer than for an operation.

        Raises:
            DatabaseUnavailable: the indexes do not exist yet or could not be created; the reason is logged. The next
                attempt follows after `RETRY_SECONDS`.

        """
        if self._prepared:
            return
        attempt = self._begin()
        # Errors are logged here, and not in the thread, so that the log line has the id of the request.
        with self.operation("prepare"):
            try:
                attempt.result(self._deadline + ANSWER_SECONDS)
            except TimeoutError as error:
                raise _unavailable("indexes") from error

    def ping(self) -> None:
        """Check that the primary answers and, every few seconds, that the indexes exist.

        Raises:
            DatabaseUnavailable: it does not answer, or an index is missing, which is then created again.

        """
        self.prepare()
        with self.operation("ping"):
            self._database.command("ping")
            if time.monotonic() < self._next_check:
                return
            # During a deploy, workers may differ in `AUDIT_DAYS`: the worker that started last has set the index.
            are_usable = all(fault.is_of_time for fault in index.faults(self._database, self._indexes))
        if not are_usable:
            log.error("An index is missing. It is created again.", extra={"event": "indexes_lost"})
            self._prepared = False
            self._begin()
            raise _unavailable("indexes")
        self._next_check = time.monotonic() + INDEX_CHECK_SECONDS

    def ask(self, command: str) -> Document:
        """Return the answer of the primary to a command without arguments."""
        with self.operation("ask"):
            return self._database.command(command)

    def index_faults(self) -> list[index.Fault]:
        """Return the indexes that are missing or differ from the required ones."""
        with self.operation("index_faults"):
            return list(index.faults(self._database, self._indexes))

    def repair_index(self, fault: index.Fault) -> str | None:
        """Repair an index, which may take minutes; return what a person has to do if that is impossible, or None."""
        with self.operation("repair_index", at_least=INDEX_BUILD_SECONDS):
            return index.repair(self._database, fault)

    def _begin(self) -> Future[None]:
        """Return the current attempt to create the indexes, or begin one.

        It runs in a thread, because indexes of a large collection take longer than any request may.
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


def find_one(collection: Collection[Any], query: Document, projection: Document) -> Any:
    """Return a document, or None, as `Collection.find_one` does, but without the CPU that its cursor takes.

    PyMongo does not repeat this command after a lost connection or a failover. `Collection.find_one` then takes over,
    which waits for the new primary and repeats itself, all within the same limit.
    """
    command = {"find": collection.name, "filter": query, "projection": projection, "limit": 1, "singleBatch": True}
    try:
        answer = collection.database.command(command, codec_options=collection.codec_options)
    except (ConnectionFailure, OperationFailure) as error:
        if error.timeout:
            raise
        return collection.find_one(query, projection)
    return next(iter(answer["cursor"]["firstBatch"]), None)


def upserted(operation: Callable[[], Result]) -> Result:
    """Run an upsert; run it again if another request has inserted the document meanwhile, so that it is updated."""
    try:
        return operation()
    except DuplicateKeyError:
        return operation()


def _unavailable(reason: str) -> DatabaseUnavailable:
    metrics.database_errors(reason).inc()
    return DatabaseUnavailable(reason)
