"""Storing users in batches, each user once, however often the import is repeated."""

from collections.abc import Sequence
from enum import StrEnum

from pixora.accounts import bulk
from pixora.accounts.documents import User
from pixora.accounts.erasure import Erasure
from pixora.accounts.users import UserStore
from pixora.database.failures import DUPLICATE_KEY
from pixora.importing.records import Reader

SECONDS = 60
"""The time to store a batch: long enough to sit out an election."""


class Outcome(StrEnum):
    """The outcome of an import of a user. All but the first three are reasons for a refusal."""

    IMPORTED = "imported"
    ALREADY_THERE = "already_there"
    ERASED = "erased"
    ADDRESS_TAKEN = "Another user has this e-mail address."
    ID_TAKEN = "Another user has this id."
    GONE = "A conflicting user was deleted at the same time. Import the line again."
    REFUSED = "MongoDB rejected it."


class Batches:
    """Stores the users of an import; erased users only with `restore`."""

    def __init__(self, users: UserStore, reader: Reader, erasures: Erasure, *, restore: bool = False) -> None:
        self._users = users
        self._reader = reader
        self._erasures = erasures
        self._restore = restore

    def store(self, users: Sequence[User]) -> list[Outcome]:
        """Store new users who were not erased; return the outcome of each.

        Raises:
            DatabaseUnavailable: some users may be stored; the next attempt finds them already there.

        """
        if self._restore:
            self._erasures.unmark(users, at_least=SECONDS)
            erased: set[str] = set()
        else:
            erased = self._erasures.find_erased(users, at_least=SECONDS)
        left = [user for user in users if user["_id"] not in erased]
        outcomes = iter(self._insert(left) if left else [])
        return [Outcome.ERASED if user["_id"] in erased else next(outcomes) for user in users]

    def _insert(self, users: Sequence[User]) -> list[Outcome]:
        codes = bulk.insert_many(self._users, users)
        duplicates = [users[index] for index, code in codes.items() if code == DUPLICATE_KEY]
        stored = bulk.find_conflicts(self._users, duplicates) if duplicates else []
        conflicts = {user["_id"]: user for user in stored} | {user["email"]: user for user in stored}
        return [
            Outcome.IMPORTED
            if index not in codes
            else self._judge(user, conflicts)
            if codes[index] == DUPLICATE_KEY
            else Outcome.REFUSED
            for index, user in enumerate(users)
        ]

    def _judge(self, user: User, conflicts: dict[str, User]) -> Outcome:
        same_id, same_email = conflicts.get(user["_id"]), conflicts.get(user["email"])
        is_derived, hashed = self._reader.is_derived(user), user.get("password")
        # A user whose id derives from this line was imported from it, even if address or hash have changed since.
        if same_id and (is_derived or same_id["email"] == user["email"] or same_id.get("password") == hashed):
            return Outcome.ALREADY_THERE
        if same_email and is_derived and same_email.get("password") == hashed:
            return Outcome.ALREADY_THERE
        if same_email:
            return Outcome.ADDRESS_TAKEN
        return Outcome.ID_TAKEN if same_id else Outcome.GONE
