"""Erasure: what remains of a user outside the user document is anonymized, whatever fails in between.

Rows of the audit trail stay, under a pseudonym in place of the id. Two things can interfere: the database or the worker
may fail after the document is deleted, and a request that read the account before may record an event about it later.

Therefore a note is stored before the document is deleted, in the collection `erasures`: `user` and `email` (the id and
the address, encrypted), `pseudonym` (random) and `at`. The rows are anonymized at once, and again when no such request
can still be running; then the note is deleted. The address is also removed from the documents of other users.

A random audit id in the user document would not replace the notes. Rows of existing accounts hold the user id, and an
administrator's id is in the rows of other users, so both would still have to be rewritten. The address in other users'
documents and the mark below need the same second pass. A request that is still running has read the audit id too.

The collection `erased` keeps an HMAC of each id and of each address, under a key derived from `SECRET_KEY`: an import
skips these users. The id of a line without one depends on the hash, which another export may write in another way.
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
from pixora.accounts.documents import User
from pixora.accounts.one_time_tokens import OneTimeTokenStore
from pixora.accounts.outbox import Outbox
from pixora.accounts.users import UserStore
from pixora.database.client import Database, Document
from pixora.errors import DatabaseUnavailable
from pixora.tokens.crypto import cipher, derived_key

log = logging.getLogger(__name__)

KEPT = timedelta(minutes=10)
"""How long a note is kept: ten times as long as a request can last."""

AT_ONCE = 10
"""How many older notes a deletion completes: where no e-mails are sent, nothing else may run to do it."""

TIMEOUT_SECONDS = 60
"""The time limit for the rows of one user, outside requests."""


class Erasure:
    """The erasures of one application."""

    def __init__(
        self,
        database: Database,
        users: UserStore,
        one_time_tokens: OneTimeTokenStore,
        outbox: Outbox,
        audit: Audit,
        *,
        secret_key: str,
    ) -> None:
        self._cipher = cipher(secret_key, "pixora erasures 1")
        self._mark_key = derived_key(secret_key, "pixora erased ids 1")
        self._operation = database.operation
        self._notes = database.collection("erasures")
        self._erased = database.collection("erased")
        self._users = users
        self._one_time_tokens = one_time_tokens
        self._outbox = outbox
        self._audit = audit

    @contextmanager
    def erasing(self, user_id: str, email: str) -> Iterator[None]:
        """Erase what remains of a user after the block has deleted the account; if the block fails, decide later.

        Raises:
            DatabaseUnavailable: before the block; nothing was done.

        """
        pseudonym = f"erased-{secrets.token_hex(12)}"
        encrypted = {name: self._cipher.encrypt(text.encode()) for name, text in (("user", user_id), ("email", email))}
        with self._operation("erasures.erasing"):
            self._notes.insert_one({**encrypted, "pseudonym": pseudonym, "at": clock.utcnow()})
            for mark in self._marks(user_id, email):
                self._erased.replace_one({"_id": mark}, {"_id": mark}, upsert=True)
        yield
        with suppress(DatabaseUnavailable):
            self._audit.anonymize(user_id, pseudonym)
            self._forget_email(email)
            self.complete_due(clock.utcnow(), AT_ONCE, at_least=0.001)

    def find_erased(self, users: Iterable[User], *, at_least: float) -> set[str]:
        """Return the ids of those users of whom the id or the address is that of an erased user."""
        owners = {mark: user["_id"] for user in users for mark in self._marks(user["_id"], user["email"])}
        with self._operation("erasures.find_erased", at_least=at_least):
            return {owners[found["_id"]] for found in self._erased.find({"_id": {"$in": list(owners)}})}

    def unmark(self, users: Iterable[User], *, at_least: float) -> None:
        """Forget that users with these ids and addresses were erased, so that they can be imported again."""
        marks = [mark for user in users for mark in self._marks(user["_id"], user["email"])]
        self._remove(marks, at_least)

    def count_overdue(self, noted_before: datetime) -> int:
        """Count the notes from before this time."""
        with self._operation("erasures.count_overdue"):
            return self._notes.count_documents({"at": {"$lte": noted_before}})

    def complete_due(self, now: datetime, limit: int = 0, *, at_least: float = TIMEOUT_SECONDS) -> None:
        """Complete the erasures that are due; drop the notes of accounts that still exist.

        With a limit only so many, the oldest first. `at_least` are the seconds for the rows of one user.

        Raises:
            DatabaseUnavailable: the remaining notes are completed next time.

        """
        with self._operation("erasures.complete"):
            notes = list(self._notes.find({"at": {"$lte": now - KEPT}}, sort={"at": 1}, limit=limit))
        for note in notes:
            self._complete(note, at_least)
            with self._operation("erasures.complete"):
                self._notes.delete_one({"_id": note["_id"]})

    def _complete(self, note: Document, at_least: float) -> None:
        try:
            user_id = self._cipher.decrypt(note["user"]).decode()
            # Notes of an older version have no address.
            email = self._cipher.decrypt(note["email"]).decode() if "email" in note else None
        except InvalidToken:
            log.error(
                "SECRET_KEY has changed since an account was deleted, so its erasure cannot be checked. Audit rows "
                "that still hold its id stay until they expire.",
                extra={"event": "erasure_unreadable"},
            )
            return
        if self._users.find_credentials(user_id) is not None:
            self._remove(self._marks(user_id, email), at_least)
            return
        self._audit.anonymize(user_id, note["pseudonym"], at_least)
        if email is not None:
            self._forget_email(email)

    def _forget_email(self, email: str) -> None:
        """Remove an address from the documents of other users, unless somebody has signed up with it since."""
        known_as = emails.spellings(email)
        if self._users.find_by_email(*known_as) is None:
            self._one_time_tokens.forget_email(email, *known_as)
            self._outbox.forget_email(email, *known_as)

    def _remove(self, marks: list[str], at_least: float) -> None:
        with self._operation("erasures.unmark", at_least=at_least):
            self._erased.delete_many({"_id": {"$in": marks}})

    def _marks(self, user_id: str, email: str | None) -> list[str]:
        texts = [user_id] if email is None else [user_id, emails.canonical(email)]  # no id is an address
        return [hmac.digest(self._mark_key, text.encode(), "sha256").hex() for text in texts]
