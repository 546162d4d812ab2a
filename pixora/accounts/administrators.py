"""Administrators: at least one must remain enabled.

Two administrators who demote each other at the same moment would both see another one. So a change that removes an
administrator first announces it in the user document (`leaving`, a time), and then counts the others who are not
leaving. If two announce at once, both may be refused, but never do both succeed: the announcement of at least one
is committed when the other counts. This needs no transaction and no lock, so it works on a standalone mongod as well.

- If the process dies in between, the administrator keeps the role, and does not count as another until the announcement
  expires.
- If the process is delayed until then, its change has no effect: the server checks its own clock before each change
  and rejects it in the second half of the time. The first half is longer than all operations of a request can take,
  the second longer than one operation.
- The others are read with read concern majority, after a majority has acknowledged the announcement.

To demote, count and restore would be simpler. But if the process dies before it restores, no administrator remains; the
ended sessions of a disabled user cannot be restored; and meanwhile requests of the administrator are rejected.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from pymongo import ReturnDocument
from pymongo.read_concern import ReadConcern

from pixora.accounts.users import ENABLED_ADMIN, UserStore
from pixora.database.client import Document
from pixora.errors import DatabaseUnavailable, LastAdmin

LEAVING_DEADLINES = 10
"""How long an announcement counts, in multiples of `DATABASE_TIMEOUT_MS`: half a minute by default."""


class Administrators:
    """The administrators of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore, valid_for: timedelta) -> None:
        self._store = users
        self._valid_for = valid_for

    @contextmanager
    def removing(self, user_id: str) -> Iterator[Document]:
        """Give the `with` block the condition under which it may remove a user from the enabled administrators.

        The condition must be part of the query of the change. If it matches nothing, the user's roles have changed or
        too much time has passed: try again. For users who are no administrators this costs one read.

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
        # Not after an error of the block: its change may still take effect.
        self._withdraw(user_id, mine)

    def _is_another(self, user_id: str) -> bool:
        committed = self._store.collection.with_options(read_concern=ReadConcern("majority"))
        staying = {"_id": {"$ne": user_id}, **ENABLED_ADMIN, "$expr": {"$not": _is_younger(self._valid_for)}}
        with self._store.operation("administrators.is_another"):
            return committed.find_one(staying, {"_id": 1}) is not None

    def _withdraw(self, user_id: str, mine: Document) -> None:
        # The change is decided and must not fail because of this; an announcement expires by itself.
        with suppress(DatabaseUnavailable), self._store.operation("administrators.withdraw"):
            self._store.collection.update_one({"_id": user_id, **mine}, {"$unset": {"leaving": True}})


def _is_younger(age: timedelta) -> Document:
    """Return the expression for an announcement younger than `age`; it is false if there is none."""
    return {"$gt": ["$leaving", {"$subtract": ["$$NOW", age / timedelta(milliseconds=1)]}]}
