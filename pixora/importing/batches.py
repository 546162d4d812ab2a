"""Storing users a batch at a time: each once, however often it is tried."""

from collections.abc import Sequence
from enum import StrEnum

from pixora.accounts import bulk
from pixora.accounts.documents import User
from pixora.accounts.erasure import Erasure
from pixora.accounts.store import UserStore
from pixora.database.failures import DUPLICATE_KEY
from pixora.importing.records import Reader

SECONDS = 60
"""For storing one batch: an election in between, of ten seconds or so, need not end the run."""


class Outcome(StrEnum):
    """What became of a user. All but the first three are reasons for a refusal."""

    IMPORTED = "imported"
    ALREADY_THERE = "already_there"
    ERASED = "erased"
    ADDRESS_TAKEN = "Another user has this e-mail address."
    ID_TAKEN = "Another user has this id."
    GONE = "Was in the way of one who is gone by now. Import it again."
    REFUSED = "MongoDB refuses it."


class Batches:
    """The users of one application, as an import stores them.

    Args:
        users: Where.
        reader: Has made the documents.
        erasures: Who was erased.
        restore: Whether users who were erased are stored again.

    """

    def __init__(self, users: UserStore, reader: Reader, erasures: Erasure, *, restore: bool = False) -> None:
        self._users = users
        self._reader = reader
        self._erasures = erasures
        self._restore = restore

    def store(self, users: Sequence[User]) -> list[Outcome]:
        """Store users who are not there yet and were not erased; return what became of each.

        Raises:
            DatabaseUnavailable: some may be stored, and are found there when it is tried again.

        """
        ids = [user["_id"] for user in users]
        if self._restore:
            self._erasures.unmark(ids, at_least=SECONDS)
            erased: set[str] = set()
        else:
            erased = self._erasures.find_erased(ids, at_least=SECONDS)
        left = [user for user in users if user["_id"] not in erased]
        outcomes = iter(self._insert(left) if left else [])
        return [Outcome.ERASED if user["_id"] in erased else next(outcomes) for user in users]

    def _insert(self, users: Sequence[User]) -> list[Outcome]:
        codes = bulk.insert_many(self._users, users)
        duplicates = [users[index] for index, code in codes.items() if code == DUPLICATE_KEY]
        stored = bulk.find_conflicts(self._users, duplicates) if duplicates else []
        in_the_way = {user["_id"]: user for user in stored} | {user["email"]: user for user in stored}
        return [
            Outcome.IMPORTED
            if index not in codes
            else self._judge(user, in_the_way)
            if codes[index] == DUPLICATE_KEY
            else Outcome.REFUSED
            for index, user in enumerate(users)
        ]

    def _judge(self, user: User, in_the_way: dict[str, User]) -> Outcome:
        same_id, same_address = in_the_way.get(user["_id"]), in_the_way.get(user["email"])
        is_derived = self._reader.is_derived(user)
        # Whoever has an id that was made of this line came with it, whatever has become of address and hash since.
        if same_id and (is_derived or same_id["email"] == user["email"] or same_id["password"] == user["password"]):
            return Outcome.ALREADY_THERE
        if same_address and is_derived and same_address["password"] == user["password"]:
            return Outcome.ALREADY_THERE
        if same_address:
            return Outcome.ADDRESS_TAKEN
        return Outcome.ID_TAKEN if same_id else Outcome.GONE
