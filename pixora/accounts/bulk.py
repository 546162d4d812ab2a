"""Operations on many users at once, for imports and for upkeep.

Each batch is an operation with a time limit of its own, long enough to sit out an election.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import MinKey
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, WriteError

from pixora.accounts import updates
from pixora.accounts.documents import User
from pixora.accounts.users import UserStore

BATCH = 2_000
BATCH_SECONDS = 60
BY_ID = {"_id": 1}


def insert_many(store: UserStore, users: Sequence[User]) -> dict[int, int]:
    """Insert users; return MongoDB's error code for each one that it refused, by its position."""
    collection = store.collection
    try:
        with store.operation("bulk.insert_many", at_least=BATCH_SECONDS):
            collection.insert_many(users, ordered=False)
    except BulkWriteError as error:
        return {failure["index"]: failure["code"] for failure in error.details["writeErrors"]}
    return {}


def find_conflicts(store: UserStore, users: Sequence[User]) -> list[User]:
    """Return `_id`, `email` and `password` of the stored users who have the id or the address of one of these."""
    same_id = {"_id": {"$in": [user["_id"] for user in users]}}
    same_email = {"email": {"$in": [user["email"] for user in users]}}
    with store.operation("bulk.find_conflicts", at_least=BATCH_SECONDS):
        return list(store.collection.find({"$or": [same_id, same_email]}, {"email": 1, "password": 1}))


def estimate_count(store: UserStore) -> int:
    """Return about how many users there are, without counting them."""
    with store.operation("bulk.estimate_count"):
        return store.unprepared_collection.estimated_document_count()


def batches(store: UserStore) -> Iterator[list[Mapping[str, Any]]]:
    """Yield `_id` and `email` of all users, sorted by id; users who sign up meanwhile come last.

    There is no cursor that could be lost between batches. The indexes need not exist: while the unique one cannot be
    built, this finds out why.
    """
    last: Any = MinKey()
    while True:
        with store.operation("bulk.batches", at_least=BATCH_SECONDS):
            # `min` instead of `$gt`, which would skip ids of another BSON type than `last`.
            cursor = store.unprepared_collection.find({}, {"email": 1}).hint([("_id", 1)]).min([("_id", last)])
            found = list(cursor.limit(BATCH + 1))
        batch = found[1:] if found and found[0]["_id"] == last else found[:BATCH]
        if not batch:
            return
        yield [*batch]
        last = batch[-1]["_id"]


def lower_emails(
    store: UserStore, users: Sequence[Mapping[str, Any]], now: datetime
) -> tuple[int, list[Mapping[str, Any]]]:
    """Lower the case of addresses in one operation, which takes a quarter of the time of `replace_emails`.

    MongoDB stops at the first address that it refuses. Return how many were changed, and the users who are left.
    """
    collection = store.unprepared_collection
    theirs = {"_id": {"$in": [user["_id"] for user in users]}, "email": {"$in": [user["email"] for user in users]}}
    stage = updates.set_expressions({"email": {"$toLower": "$email"}}, now)
    with store.operation("bulk.lower_emails", at_least=BATCH_SECONDS):
        try:
            return collection.update_many(theirs, [stage], hint=BY_ID).modified_count, []
        except WriteError:
            left: list[Mapping[str, Any]] = [*collection.find(theirs, {"email": 1})]
    return len(users) - len(left), left


def replace_emails(
    store: UserStore, replacements: Sequence[tuple[Mapping[str, Any], str]], now: datetime
) -> tuple[int, dict[int, int]]:
    """Replace the address of each user, if it is still the one that was read.

    Return how many were changed, and MongoDB's error code for each one that it refused, by its position.
    """
    operations = [
        UpdateOne({"_id": user["_id"], "email": user["email"]}, [updates.set_fields({"email": email}, now)], hint=BY_ID)
        for user, email in replacements
    ]
    try:
        with store.operation("bulk.replace_emails", at_least=BATCH_SECONDS):
            return store.unprepared_collection.bulk_write(operations, ordered=False).modified_count, {}
    except BulkWriteError as error:
        return error.details["nModified"], {
            failure["index"]: failure["code"] for failure in error.details["writeErrors"]
        }


def correct_removed_passwords(store: UserStore, now: datetime) -> int:
    """Correct users who have a password and are still marked as without one; return their number.

    A version that does not know the mark yet leaves it there when it sets a new password.
    """
    marked = {"password_removed_at": {"$exists": True}, "password": {"$type": "string"}}
    with store.operation("bulk.correct_removed_passwords", at_least=BATCH_SECONDS):
        stage = updates.set_fields({"password_removed_at": None}, now)
        return store.unprepared_collection.update_many(marked, [stage]).modified_count
