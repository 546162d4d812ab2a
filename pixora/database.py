"""MongoDB: how we connect, what its failures mean, and the indexes that must exist before anything is served."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import pymongo
from flask import Flask, current_app
from pymongo import IndexModel, ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database as MongoDatabase
from pymongo.errors import (
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from werkzeug.local import LocalProxy

from pixora.errors import DatabaseUnavailable
from pixora.extensions import mongo

log = logging.getLogger(__name__)

Document = dict[str, Any]
Indexes = Mapping[str, Sequence[IndexModel]]

INDEX_BUILD_SECONDS = 20
"""How long a worker waits for the indexes of a large collection: less than gunicorn's 30 s for a silent worker."""

RETRY_SECONDS = 5
"""After indexes could not be made, requests are refused for so long before the next try."""

UNAVAILABLE_CODES = {
    13: "unauthorized",  # Unauthorized
    18: "unauthorized",  # AuthenticationFailed
    8000: "unauthorized",  # AtlasError, on bad credentials
    14031: "full",  # OutOfDiskSpace
}
"""Server errors that no change of ours to the request would cure."""


class Database:
    """The database of one application, with its indexes made at first use.

    Args:
        database: Flask-PyMongo's.
        indexes: By the name of the collection.

    """

    def __init__(self, database: MongoDatabase[Document], indexes: Indexes) -> None:
        # Set here and not left to the URI: an acknowledged write must survive the loss of the primary, and
        # a secondary may not have heard yet that an account is gone.
        self._database = database.with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(w="majority")
        )
        self._indexes = indexes
        self._prepared = False
        self._preparing = threading.Lock()
        self._next_try = 0.0

    def collection(self, name: str) -> Collection[Document]:
        """Return a collection. Making one costs 50 µs, so stores keep theirs."""
        return self._database[name]

    @contextlib.contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn PyMongo's errors that mean "not now" into `DatabaseUnavailable`, and log them; others pass."""
        try:
            yield
        except PyMongoError as error:
            reason = self._reason(error)
            if reason is None:
                raise
            log.error(
                "MongoDB is not available: %s",
                type(error).__name__,
                extra={"event": "database_unavailable", "reason": reason, "cause": _cause(error)},
            )
            raise DatabaseUnavailable(reason) from error

    def prepare(self) -> None:
        """Make the indexes, once in the life of this process; does nothing when they are there.

        Raises:
            DatabaseUnavailable: they could not be made; the reason is logged. Tried again after `RETRY_SECONDS`.

        """
        if self._prepared:
            return
        with self._preparing:
            if self._prepared:
                return
            if time.monotonic() < self._next_try:
                raise DatabaseUnavailable("indexes")
            with self.translated_errors():
                self._database.command("ping")  # a database that is gone is found out within its own deadline
                try:
                    with pymongo.timeout(INDEX_BUILD_SECONDS):
                        for name, models in self._indexes.items():
                            self._database[name].create_indexes(models)
                except OperationFailure as error:
                    self._next_try = time.monotonic() + RETRY_SECONDS
                    log.error(_index_advice(error), extra={"event": "indexes_failed"})
                    raise DatabaseUnavailable("indexes") from error
            self._prepared = True

    def ping(self) -> None:
        """Ask the primary for a sign of life; raise `DatabaseUnavailable` when there is none."""
        with self.translated_errors():
            self._database.command("ping")
        self.prepare()

    def _reason(self, error: PyMongoError) -> str | None:
        """Return one word for what keeps the database from us; None for an error of ours, or a duplicate key."""
        if isinstance(error, DuplicateKeyError):
            return None
        if isinstance(error, OperationFailure) and error.code in UNAVAILABLE_CODES:
            return UNAVAILABLE_CODES[error.code]
        if isinstance(error, ServerSelectionTimeoutError):
            # Of a server that has refused our credentials, PyMongo only tells the first caller.
            servers = self._database.client.topology_description.server_descriptions().values()
            codes = [server.error.code for server in servers if isinstance(server.error, OperationFailure)]
            return next((UNAVAILABLE_CODES[code] for code in codes if code in UNAVAILABLE_CODES), "unreachable")
        if error.timeout:
            return "timeout"
        if isinstance(error, ConnectionFailure | WriteConcernError) or error.has_error_label("RetryableWriteError"):
            return "unreachable"
        return None


database = cast(Database, LocalProxy(lambda: current_app.extensions["database"]))
"""The database of the current application."""


def init_app(app: Flask, indexes: Indexes) -> None:
    """Connect `app` to its database, lazily: no connection is made before the first use (nor before a fork)."""
    provider = app.json
    mongo.init_app(app, timeoutMS=app.config["DATABASE_TIMEOUT_MS"], tz_aware=True, appname="pixora")
    app.json = provider  # Flask-PyMongo's would read {"$oid": …} in requests and write {"$date": …}
    if mongo.db is None:
        raise ValueError("MONGO_URI names no database")
    app.extensions["database"] = Database(mongo.db, indexes)


def _cause(error: PyMongoError) -> str:
    """Return what PyMongo says, without the topology it appends and without anything of a document."""
    return str(error).split(", full error:")[0].split(", Topology Description:")[0]


def _index_advice(error: OperationFailure) -> str:
    if isinstance(error, DuplicateKeyError):
        return "The unique index cannot be made: two users share an e-mail address. Merge or delete one of them."
    return (
        "An index cannot be made: one of the same name or keys, with other options, is in its place. "
        f"Drop that index. MongoDB says: {error.details.get('codeName') if error.details else error.code}"
    )
