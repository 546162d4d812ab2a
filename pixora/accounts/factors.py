"""The second factors of users, stored in their documents under `factors`.

A code is used by the update that it allows: the condition requires that neither it nor a later one was used, and a
stage records it. So of many parallel logins with one code the database lets one through, and none later.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from bson import MinKey
from pymongo import UpdateOne
from pymongo.collection import Collection

from pixora.accounts import updates
from pixora.accounts.documents import Email, Factors, PendingTotp, RecoveryCodes, TotpFactor, User
from pixora.accounts.users import ENABLED, UserStore
from pixora.database.client import Document

BATCH = 500
BATCH_SECONDS = 60
"""Long enough to sit out an election."""

COUNT_SECONDS = 1.0

WITHOUT_FACTOR: Document = {"factors.totp": None}
"""The condition that a user has no second factor."""

WITH_FACTOR: Document = {"factors.totp": {"$ne": None}}
"""The condition that a user has one."""


class FactorUse(NamedTuple):
    """What a write that a second factor has allowed requires, and records in the same atomic update."""

    condition: Document  # the factor is as it was read, and the code not used
    stages: Sequence[Document] = ()  # use the code, and queue notices about it; none without a code


NO_FACTOR = FactorUse(WITHOUT_FACTOR)
"""For a user without a second factor, who must still have none when the write is made."""


def unchanged(factor: TotpFactor) -> Document:
    """Return the condition that a user still has this factor. A rotation of keys does not change it."""
    return {"factors.totp.id": factor["id"]}


def use_code(factor: TotpFactor, step: int) -> FactorUse:
    """Use the code of a step, and with it those of all earlier steps."""
    condition = unchanged(factor) | {"factors.totp.last_step": {"$lt": step}}
    return FactorUse(condition, [{"$set": {"factors.totp.last_step": step}}])


def use_recovery_code(factor: TotpFactor, hashes: Sequence[str], used: str, *emails: Email) -> FactorUse:
    """Use one recovery code, if no other one was used since `hashes` were read."""
    condition = unchanged(factor) | {"factors.recovery_codes.hashes": [*hashes]}
    left = [one for one in hashes if one != used]
    using = {"$set": {"factors.recovery_codes.hashes": {"$literal": left}}}
    return FactorUse(condition, [using, updates.queue_emails(*emails)])


def enrol(pending: PendingTotp, step: int, hashes: Sequence[str], now: datetime) -> tuple[Document, Document]:
    """Return condition and stage to make the pending secret the factor, in place of an older one, with new codes."""
    factor: TotpFactor = {
        "id": pending["id"],
        "secret": pending["secret"],
        "key": pending["key"],
        "last_step": step,
        "created_at": now,
    }
    condition = {"factors.pending_totp.id": pending["id"], "factors.pending_totp.expires_at": {"$gt": now}}
    factors: Factors = {"totp": factor, "recovery_codes": {"hashes": [*hashes], "created_at": now}}
    return condition, {"$set": {"factors": {"$literal": factors}}}


def replace_recovery_codes(hashes: Sequence[str], now: datetime) -> Document:
    """Return the stage that replaces the recovery codes by a new set."""
    codes: RecoveryCodes = {"hashes": [*hashes], "created_at": now}
    return {"$set": {"factors.recovery_codes": {"$literal": codes}}}


REMOVE: Document = {"$unset": ["factors"]}
"""The stage that removes all second factors."""


class FactorStore:
    """The second factors of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore) -> None:
        self._store = users

    def find(self, user_id: str, session_id: str) -> User:
        """Return `_id`, `email`, `email_verified` and `factors`, as `UserStore.find_fields` does."""
        wanted = {"email": 1, "email_verified": 1, "factors": 1}
        return self._store.find_fields("factors.find", user_id, session_id, wanted)

    def set_pending(self, user_id: str, session_id: str, pending: PendingTotp) -> bool:
        """Store a secret that waits for its first code, in place of an older one; return False without the session."""
        with self._store.operation("factors.set_pending"):
            result = self._store.collection.update_one(
                {"_id": user_id, "sessions.id": session_id, **ENABLED}, {"$set": {"factors.pending_totp": pending}}
            )
        return result.matched_count == 1

    def count_by_key(self, at_most: float = COUNT_SECONDS) -> dict[str, int]:
        """Count the enrolled users by the name of the key that encrypts their secret, by an index."""
        enrolled = {"factors.totp.key": {"$gt": ""}}
        with self._store.operation("factors.count_by_key", at_most=at_most):
            users = cast(Collection[Document], self._store.unprepared_collection)
            groups = users.aggregate(
                [{"$match": enrolled}, {"$group": {"_id": "$factors.totp.key", "number": {"$sum": 1}}}]
            )
            return {group["_id"]: group["number"] for group in groups}

    def batches(self, *, other_than: str | None = None) -> Iterator[list[User]]:
        """Yield `_id` and `factors.totp` of all users with a factor whose secret is not under the key `other_than`."""
        last: Any = MinKey()
        keys = {"$gt": ""} if other_than is None else {"$gt": "", "$ne": other_than}
        while True:
            query = {"factors.totp.key": keys, "_id": {"$gt": last}}
            with self._store.operation("factors.batches", at_least=BATCH_SECONDS):
                found = self._store.unprepared_collection.find(
                    query, {"factors.totp": 1}, sort=[("_id", 1)], limit=BATCH
                )
                batch = list(found)
            if not batch:
                return
            yield batch
            last = batch[-1]["_id"]

    def replace_secrets(self, replacements: Sequence[tuple[User, bytes, str]]) -> int:
        """Replace encrypted secrets, each unless the user has enrolled anew; return how many were replaced.

        A replacement is the user as read, the new ciphertext and the name of its key.
        """
        updates = []
        for user, secret, key in replacements:
            factor = user["factors"]["totp"]
            same = {"_id": user["_id"], **unchanged(factor), "factors.totp.secret": factor["secret"]}
            updates.append(UpdateOne(same, {"$set": {"factors.totp.secret": secret, "factors.totp.key": key}}))
        with self._store.operation("factors.replace_secrets", at_least=BATCH_SECONDS):
            return self._store.collection.bulk_write(updates, ordered=False).modified_count
