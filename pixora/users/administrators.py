"""The administrators, of whom one at least must be there and enabled.

Two who demote each other at the same moment would both see that there is another. So what takes an administrator away
is done by one at a time, over all workers and machines: by whoever holds a lease, a document of the collection `locks`.
No transaction is needed, so this holds on a lone mongod as well.

- Who dies with the lease leaves it to run out; until then nobody can be taken away, and all else goes on.
- Who is held up for so long that it has run out finds that the change is not made: the server looks at its own clock
  before it makes one, and refuses it in the second half of the lease. The first half is longer than all operations of a
  request may take, the second longer than the one that was begun at the end of the first.
- The others are read as a majority of the members has them, after a majority has the lease: whatever the holder before
  has done is in that.
"""

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import cast

from flask import Flask, current_app
from pymongo import ReturnDocument
from pymongo.read_concern import ReadConcern
from werkzeug.local import LocalProxy

from pixora.database import Database, Document
from pixora.errors import DatabaseUnavailable, LastAdmin
from pixora.users.standing import ENABLED_ADMIN
from pixora.users.store import UserStore

log = logging.getLogger(__name__)

LEASE_DEADLINES = 10
"""The length of a lease, in deadlines of the database: half a minute by default."""

PATIENCE_SECONDS = 2
"""How long a request waits for the lease of another, which mostly lasts for some milliseconds."""

POLL_SECONDS = 0.05


class Administrators:
    """The administrators of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore, database: Database, lease: timedelta) -> None:
        self._store = users
        self._locks = database.collection("locks")
        self._lease = lease

    @contextmanager
    def without(self, user_id: str) -> Iterator[Document]:
        """Give the `with` block the condition under which it may take a user from among the enabled administrators.

        It must be part of the query of the change. When nothing is found by it, the user's standing has changed, or too
        much time has passed: try again. For who is no administrator it costs a read, and no lease.

        Raises:
            LastAdmin: there is no other.
            DatabaseUnavailable: another is being taken away, also `PATIENCE_SECONDS` later.

        """
        with self._store.translated_errors("administrators.without"):
            is_one = self._store.collection.count_documents({"_id": user_id, **ENABLED_ADMIN}) > 0
        if not is_one:
            yield {"$nor": [ENABLED_ADMIN]}
            return
        holder = secrets.token_hex(12)
        ends = self._take(holder)
        if self._is_last(user_id):
            self._give_back(holder)
            raise LastAdmin
        yield {"$expr": {"$lt": ["$$NOW", ends - self._lease / 2]}}
        # Not where the block has raised: what it has sent may still be under way.
        self._give_back(holder)

    def _is_last(self, user_id: str) -> bool:
        committed = self._store.collection.with_options(read_concern=ReadConcern("majority"))
        with self._store.translated_errors("administrators.is_last"):
            found = list(committed.find(ENABLED_ADMIN, {"_id": 1}, limit=2))
        return all(admin["_id"] == user_id for admin in found)

    def _take(self, holder: str) -> datetime:
        """Take the lease, as soon as it is free; return when it ends, by the clock of the server."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            lease = self._take_if_free(holder)
            if lease["holder"] == holder:
                ends: datetime = lease["ends"]
                return ends
            if time.monotonic() >= patience:
                log.error("The lease on the administrators is taken.", extra={"event": "administrators_locked"})
                raise DatabaseUnavailable("locked")
            time.sleep(POLL_SECONDS)

    def _take_if_free(self, holder: str) -> Document:
        """Return the lease as it is then."""
        is_free = {"$lte": [{"$ifNull": ["$ends", "$$NOW"]}, "$$NOW"]}
        mine = {"holder": holder, "ends": {"$add": ["$$NOW", self._lease / timedelta(milliseconds=1)]}}
        taken = {name: {"$cond": [is_free, value, f"${name}"]} for name, value in mine.items()}
        with self._store.translated_errors("administrators.take_if_free"):
            return cast(
                Document,
                self._locks.find_one_and_update(
                    {"_id": "administrators"}, [{"$set": taken}], upsert=True, return_document=ReturnDocument.AFTER
                ),
            )

    def _give_back(self, holder: str) -> None:
        # What the lease was for is done, or refused: it must not fail because of this, and the lease ends by itself.
        with suppress(DatabaseUnavailable), self._store.translated_errors("administrators.give_back"):
            self._locks.update_one(
                {"_id": "administrators", "holder": holder}, {"$unset": {"holder": True, "ends": True}}
            )


administrators = cast(Administrators, LocalProxy(lambda: current_app.extensions["administrators"]))
"""The administrators of the current application."""


def init_app(app: Flask) -> None:
    """Give `app` its administrators; after `store.init_app`."""
    lease = LEASE_DEADLINES * timedelta(milliseconds=app.config["DATABASE_TIMEOUT_MS"])
    app.extensions["administrators"] = Administrators(app.extensions["users"], app.extensions["database"], lease)
