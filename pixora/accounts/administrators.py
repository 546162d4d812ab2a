"""Administrators: at least one must remain enabled.

Two who demote each other at the same moment would both see that there is another. So a change that takes an
administrator away is announced first, in the user document (`leaving`, a time), and only then are the others counted:
those who are leaving themselves do not count. Of two who announce themselves at once, both may be refused; never do
both succeed, for the announcement of at least one is committed when the other counts. No transaction and no lock is
needed, so this holds on a lone mongod as well.

- A process that dies in between leaves an administrator who does not count as another, until the announcement has
  expired. Nobody has lost a role.
- A process that is held up until then finds that its change is not made: the server looks at its own clock before it
  makes one, and refuses it in the second half of the time. The first half is longer than all operations of a request
  may take, the second longer than the one that was begun at the end of the first.
- The others are read as a majority of the members has them, after a majority has the announcement.

Simpler would be to demote, count, and restore. But a process that dies before it restores leaves no administrator who
could; the sessions that a disabled user has lost cannot be restored; and in between, requests are refused for nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from pymongo import ReturnDocument
from pymongo.read_concern import ReadConcern

from pixora.accounts.roles import ENABLED_ADMIN
from pixora.accounts.store import UserStore
from pixora.database.client import Document
from pixora.errors import DatabaseUnavailable, LastAdmin

LEAVING_DEADLINES = 10
"""For how long an announcement counts, in deadlines of the database: half a minute by default."""


class Administrators:
    """The administrators of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore, valid_for: timedelta) -> None:
        self._store = users
        self._valid_for = valid_for

    @contextmanager
    def removing(self, user_id: str) -> Iterator[Document]:
        """Give the `with` block the condition under which it may take a user from among the enabled administrators.

        The condition must be part of the query of the change. If it matches nothing, the user's roles have changed or
        too much time has passed: try again. For other users this costs one read.

        Raises:
            LastAdmin: no other administrator is enabled.

        """
        with self._store.operation("administrators.removing"):
            announced = self._store.collection.find_one_and_update(
                {"_id": user_id, **ENABLED_ADMIN},
                [{"$set": {"leaving": "$$NOW"}}],
                projection={"leaving": 1},
                return_document=ReturnDocument.AFTER,
            )
        if announced is None:
            yield {"$nor": [ENABLED_ADMIN]}
            return
        mine = {"leaving": announced["leaving"]}
        if not self._is_another(user_id):
            self._withdraw(user_id, mine)
            raise LastAdmin
        yield {**mine, "$expr": _is_younger(self._valid_for / 2)}
        # Not where the block has raised: what it has sent may still be under way.
        self._withdraw(user_id, mine)

    def _is_another(self, user_id: str) -> bool:
        committed = self._store.collection.with_options(read_concern=ReadConcern("majority"))
        staying = {"_id": {"$ne": user_id}, **ENABLED_ADMIN, "$expr": {"$not": _is_younger(self._valid_for)}}
        with self._store.operation("administrators.is_another"):
            return committed.find_one(staying, {"_id": 1}) is not None

    def _withdraw(self, user_id: str, mine: Document) -> None:
        # The change is made, or refused: it must not fail because of this, and an announcement expires by itself.
        with suppress(DatabaseUnavailable), self._store.operation("administrators.withdraw"):
            self._store.collection.update_one({"_id": user_id, **mine}, {"$unset": {"leaving": True}})


def _is_younger(age: timedelta) -> Document:
    """Return the expression for an announcement of less than this age; false where there is none."""
    return {"$gt": ["$leaving", {"$subtract": ["$$NOW", age / timedelta(milliseconds=1)]}]}
