"""Erasures: what is left of an account elsewhere when its document is gone, and that this too goes for certain.

The rows of the audit trail stay, under a pseudonym in the place of the id. Two things could go wrong. The database may
go away, or the worker be killed, when the document is gone and the rows are not done yet. And a request that has read
the account before may record what came of it after: a wrong password, checked for a second, of an account that is gone.

So a note is made before the document is deleted, in the collection `erasures`: `user` (the id, encrypted: after the
deletion the database has it nowhere in clear), `pseudonym` (random) and `at`. The rows are done at once, and once more
when no such request can be under way any longer; then the note is removed.
"""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import cast

from cryptography.fernet import Fernet, InvalidToken
from flask import Flask, current_app
from werkzeug.local import LocalProxy

from pixora import clock
from pixora.audit import Audit
from pixora.ciphers import cipher
from pixora.database import Database, Document
from pixora.errors import DatabaseUnavailable
from pixora.users.store import UserStore

log = logging.getLogger(__name__)

KEPT = timedelta(minutes=10)
"""How long a note is kept: ten times as long as a request can last."""

AT_ONCE = 10
"""How many older notes a deletion sees to: where no letters are sent, nothing else may be there to do it."""

PATIENCE_SECONDS = 60
"""How long the rows of one user may take where nobody waits."""


class ErasureStore:
    """The erasures of one application."""

    def __init__(self, database: Database, users: UserStore, audit: Audit) -> None:
        self._translated_errors = database.translated_errors
        self._notes = database.collection("erasures")
        self._users = users
        self._audit = audit

    @contextmanager
    def erasing(self, user_id: str) -> Iterator[None]:
        """Erase a user from the audit trail when the block has deleted the account; if it raises, see to it later.

        Raises:
            DatabaseUnavailable: before the block, and nothing was done.

        """
        pseudonym = f"erased-{secrets.token_hex(12)}"
        note = {"user": _cipher().encrypt(user_id.encode()), "pseudonym": pseudonym, "at": clock.utcnow()}
        with self._translated_errors("erasures.erasing"):
            self._notes.insert_one(note)
        yield
        with suppress(DatabaseUnavailable):
            self._audit.forget(user_id, pseudonym)
            self.complete(clock.utcnow(), AT_ONCE, at_least=0.001)

    def complete(self, now: datetime, most: int = 0, *, at_least: float = PATIENCE_SECONDS) -> None:
        """See to the erasures whose time has come; of accounts that are still there, drop the note.

        Args:
            now: When.
            most: How many, the oldest first; 0 for all.
            at_least: The seconds that the rows of one user may take, also when those of the request are spent.

        Raises:
            DatabaseUnavailable: those that are left come next time.

        """
        with self._translated_errors("erasures.complete"):
            notes = list(self._notes.find({"at": {"$lte": now - KEPT}}, sort={"at": 1}, limit=most))
        for note in notes:
            self._complete(note, at_least)
            with self._translated_errors("erasures.complete"):
                self._notes.delete_one({"_id": note["_id"]})

    def _complete(self, note: Document, at_least: float) -> None:
        try:
            user_id = _cipher().decrypt(note["user"]).decode()
        except InvalidToken:
            log.error(
                "SECRET_KEY has changed since an account was deleted. Should its erasure not have been complete, the "
                "rest of its rows stays until the audit trail forgets them.",
                extra={"event": "erasure_unreadable"},
            )
            return
        if self._users.find_credentials(user_id) is None:
            self._audit.forget(user_id, note["pseudonym"], at_least)


def _cipher() -> Fernet:
    return cipher("pixora erasures 1")


erasures = cast(ErasureStore, LocalProxy(lambda: current_app.extensions["erasures"]))
"""The erasures of the current application."""


def init_app(app: Flask) -> None:
    """Give `app` its erasures; after `store.init_app` and `audit.init_app`."""
    extensions = app.extensions
    extensions["erasures"] = ErasureStore(extensions["database"], extensions["users"], extensions["audit"])
