"""Erasures: what is left of an account elsewhere when its document is gone, and that this too goes for certain.

The rows of the audit trail stay, under a pseudonym in the place of the id. Two things could go wrong. The database may
go away, or the worker be killed, when the document is gone and the rows are not done yet. And a request that has read
the account before may record what came of it after: a wrong password, checked for a second, of an account that is gone.

So a note is made before the document is deleted, in the collection `erasures`: `user` and `email` (the id and the
address, encrypted: after the deletion the database has them nowhere in clear), `pseudonym` (random) and `at`. The rows
are done at once, and once more when no such request can be under way any longer; then the note is removed. So is what
the documents of others have of the address: who has asked to change to it, or was told that somebody did.

What stays is the collection `erased`: of each id an HMAC under a key that derives from `SECRET_KEY`, and nothing else.
By it an import does not bring back who was erased.
"""

import hmac
import logging
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from cryptography.fernet import InvalidToken

from pixora import clock, emails
from pixora.accounts.audit import Audit
from pixora.accounts.one_time_tokens import OneTimeTokenStore
from pixora.accounts.outbox import Outbox
from pixora.accounts.store import UserStore
from pixora.database.client import Database, Document
from pixora.errors import DatabaseUnavailable
from pixora.tokens.crypto import cipher, derived_key

log = logging.getLogger(__name__)

KEPT = timedelta(minutes=10)
"""How long a note is kept: ten times as long as a request can last."""

AT_ONCE = 10
"""How many older notes a deletion sees to: where no letters are sent, nothing else may be there to do it."""

TIMEOUT_SECONDS = 60
"""How long the rows of one user may take where nobody waits."""


class Erasure:
    """The erasures of one application."""

    def __init__(
        self,
        database: Database,
        users: UserStore,
        pending: OneTimeTokenStore,
        letters: Outbox,
        audit: Audit,
        *,
        secret_key: str,
    ) -> None:
        self._cipher = cipher(secret_key, "pixora erasures 1")
        self._mark_key = derived_key(secret_key, "pixora erased ids 1")
        self._translated_errors = database.operation
        self._notes = database.collection("erasures")
        self._erased = database.collection("erased")
        self._users = users
        self._pending = pending
        self._letters = letters
        self._audit = audit

    @contextmanager
    def erasing(self, user_id: str, email: str) -> Iterator[None]:
        """Erase what is left of a user when the block has deleted the account; if it raises, see to it later.

        Raises:
            DatabaseUnavailable: before the block, and nothing was done.

        """
        pseudonym = f"erased-{secrets.token_hex(12)}"
        encrypted = {name: self._cipher.encrypt(text.encode()) for name, text in (("user", user_id), ("email", email))}
        with self._translated_errors("erasures.erasing"):
            self._notes.insert_one({**encrypted, "pseudonym": pseudonym, "at": clock.utcnow()})
            mark = {"_id": self._mark(user_id)}
            self._erased.replace_one(mark, mark, upsert=True)
        yield
        with suppress(DatabaseUnavailable):
            self._audit.anonymize(user_id, pseudonym)
            self._forget_address(email)
            self.complete_due(clock.utcnow(), AT_ONCE, at_least=0.001)

    def find_erased(self, user_ids: Iterable[str], *, at_least: float) -> set[str]:
        """Return which of these ids are those of users who were erased."""
        marks = {self._mark(user_id): user_id for user_id in user_ids}
        with self._translated_errors("erasures.find_erased", at_least=at_least):
            return {marks[found["_id"]] for found in self._erased.find({"_id": {"$in": list(marks)}})}

    def unmark(self, user_ids: Iterable[str], *, at_least: float) -> None:
        """Let users with these ids be there again."""
        marks = [self._mark(user_id) for user_id in user_ids]
        with self._translated_errors("erasures.unmark", at_least=at_least):
            self._erased.delete_many({"_id": {"$in": marks}})

    def complete_due(self, now: datetime, limit: int = 0, *, at_least: float = TIMEOUT_SECONDS) -> None:
        """See to the erasures whose time has come; of accounts that are still there, drop the note.

        Args:
            now: When.
            limit: How many, the oldest first; 0 for all.
            at_least: The seconds that the rows of one user may take, also when those of the request are spent.

        Raises:
            DatabaseUnavailable: those that are left come next time.

        """
        with self._translated_errors("erasures.complete"):
            notes = list(self._notes.find({"at": {"$lte": now - KEPT}}, sort={"at": 1}, limit=limit))
        for note in notes:
            self._complete(note, at_least)
            with self._translated_errors("erasures.complete"):
                self._notes.delete_one({"_id": note["_id"]})

    def _complete(self, note: Document, at_least: float) -> None:
        try:
            user_id = self._cipher.decrypt(note["user"]).decode()
            # Notes of earlier versions have no e-mail address.
            email = self._cipher.decrypt(note["email"]).decode() if "email" in note else None
        except InvalidToken:
            log.error(
                "SECRET_KEY has changed since an account was deleted. Should its erasure not have been complete, the "
                "rest of its rows stays until the audit trail forgets them.",
                extra={"event": "erasure_unreadable"},
            )
            return
        if self._users.find_credentials(user_id) is not None:
            self.unmark([user_id], at_least=at_least)
            return
        self._audit.anonymize(user_id, note["pseudonym"], at_least)
        if email is not None:
            self._forget_address(email)

    def _forget_address(self, email: str) -> None:
        """Forget an address in the documents of others, unless somebody has signed up with it since."""
        known_as = emails.spellings(email)
        if self._users.find_by_email(*known_as) is None:
            self._pending.forget_email(email, *known_as)
            self._letters.forget_email(email, *known_as)

    def _mark(self, user_id: str) -> str:
        return hmac.digest(self._mark_key, user_id.encode(), "sha256").hex()
