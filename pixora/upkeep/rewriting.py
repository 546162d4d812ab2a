"""Giving e-mail addresses their canonical form, while others read and write.

Nothing is kept of how far this has come: what is done does not need it any more. So it can be killed at any moment, and
begun again.
"""

from typing import NamedTuple

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, WriteError

from pixora import clock
from pixora.accounts import updates as changes
from pixora.database.client import Database, Document
from pixora.upkeep.addresses import BATCH_SECONDS, Progress, Survey, batches, mask, wanted_form

BY_ID = {"_id": 1}


class Refusal(NamedTuple):
    """A user whose address MongoDB does not let us change, and its error code; `DUPLICATE_KEY`: another has it."""

    user_id: str
    address: str
    code: int


class Rewriting(NamedTuple):
    """What became of the addresses.

    Attributes:
        changed: How many were given their canonical form.
        meanwhile: How many were changed by somebody else, or are gone with their users, so that we did nothing.
        refused: By MongoDB: mostly because another user has come to have the same address since the survey.

    """

    changed: int
    meanwhile: int
    refused: list[Refusal]


def rewrite(database: Database, survey: Survey, progress: Progress) -> Rewriting:
    """Give every address its canonical form, but those that clash; `updated_at` moves on as ever.

    Only under the unique index: without it, one that is changed could become the same as one that is signed up with.
    """
    changed = meanwhile = 0
    refused: list[Refusal] = []
    for batch in batches(database):
        if users := [user for user in batch if _is_to_change(user, survey.clashing)]:
            there, refusals = _change(database, users)
            changed += there
            meanwhile += len(users) - there - len(refusals)
            refused += refusals
        progress(len(batch))
    return Rewriting(changed, meanwhile, refused)


def _is_to_change(user: Document, clashing: frozenset[int]) -> bool:
    email = user.get("email")
    return isinstance(email, str) and (wanted := wanted_form(email)) != email and hash(wanted) not in clashing


def _change(database: Database, users: list[Document]) -> tuple[int, list[Refusal]]:
    """Change the addresses of some users; return how many were, and which MongoDB has refused."""
    plain: list[Document] = []
    others: list[Document] = []
    for user in users:
        email = user["email"]
        (plain if email.isascii() and wanted_form(email) == email.lower() else others).append(user)
    lowered, left = _lower(database, plain) if plain else (0, [])
    if not (others := others + left):
        return lowered, []
    changed, refused = _change_one_by_one(database, others)
    return lowered + changed, refused


def _lower(database: Database, users: list[Document]) -> tuple[int, list[Document]]:
    """Change addresses that only need MongoDB's `$toLower`, in one operation: a quarter of the time.

    Return how many were, and who is left: at the first one that is refused, MongoDB stops.
    """
    collection = database.collection("users")
    theirs = {"_id": {"$in": [user["_id"] for user in users]}, "email": {"$in": [user["email"] for user in users]}}
    stage = changes.set_expressions({"email": {"$toLower": "$email"}}, clock.utcnow())
    with database.operation(at_least=BATCH_SECONDS):
        try:
            return collection.update_many(theirs, [stage], hint=BY_ID).modified_count, []
        except WriteError:
            left = list(collection.find(theirs, {"email": 1}))
    return len(users) - len(left), left


def _change_one_by_one(database: Database, users: list[Document]) -> tuple[int, list[Refusal]]:
    """Change each address, if it is still as it was read; return how many were, and which were refused."""
    now = clock.utcnow()
    updates = [
        UpdateOne(
            {"_id": user["_id"], "email": user["email"]},
            [changes.set_fields({"email": wanted_form(user["email"])}, now)],
            hint=BY_ID,
        )
        for user in users
    ]
    try:
        with database.operation(at_least=BATCH_SECONDS):
            return database.collection("users").bulk_write(updates, ordered=False).modified_count, []
    except BulkWriteError as error:
        failures = [(users[failure["index"]], failure["code"]) for failure in error.details["writeErrors"]]
        refused = [Refusal(str(user["_id"]), mask(user["email"]), code) for user, code in failures]
        return error.details["nModified"], refused
