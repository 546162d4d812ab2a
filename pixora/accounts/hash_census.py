"""Counts the stored password hashes by kind, for the doctor and for the cost of rejecting a login.

Rejecting a login costs as much as checking the most expensive stored hash, and at least as much as `BCRYPT_ROUNDS`,
whether the e-mail address is unknown, the password wrong or the user disabled. So the time reveals nothing, even if
stored hashes differ in cost. Only operators change this cost, by importing hashes or setting `BCRYPT_ROUNDS`. To choose
a cost for each address from those that are stored would be cheaper, but would reveal accounts: the cost of an unknown
address would stay, that of an account would change when its owner logs in.

The hashes are counted in the background at the first login attempt and then every hour; no request waits for it. Until
the first count is done, a worker uses `BCRYPT_ROUNDS`.
"""

import logging
import math
import threading
import time
from collections import Counter
from typing import Any, NamedTuple, cast

from pymongo.collection import Collection

from pixora.accounts.users import UserStore
from pixora.database.client import Document
from pixora.passwords import phc, verify

log = logging.getLogger(__name__)

RECOUNT_SECONDS = 3600
COUNT_SECONDS = 60
"""The time limit of a count: enough for some million users."""

MOST_COUNTED = 2_000_000
SAMPLE = 100_000
"""With more than `MOST_COUNTED` users, a sample of this size is counted."""

COMMENT = "pixora: what password hashes there are"
"""Names the query, which reads all users, in MongoDB's log and profiler."""

NONE = "none"
"""The form of what users have who removed their password."""

PARTS = {"$split": ["$password", {"$literal": "$"}]}


class Census(NamedTuple):
    """The numbers of hashes."""

    counts: Counter[int | str]  # the number of hashes by `verify.kind`
    examples: dict[int | str, str]  # a hash of each kind
    unreadable: int  # the number of hashes that cannot be checked
    without: int  # the number of users who have removed their password
    is_sample: bool  # whether only a sample of the users was counted


def count_hashes(store: UserStore) -> Census:
    """Count the hashes of all users, or of a sample of very many, within `COUNT_SECONDS`."""
    counts: Counter[int | str] = Counter()
    examples: dict[int | str, str] = {}
    unreadable = without = 0
    with store.operation("users.count_hashes", at_least=COUNT_SECONDS):
        users = cast(Collection[Document], store.unprepared_collection)
        is_sample = users.estimated_document_count(comment=COMMENT) > MOST_COUNTED
        pipeline: list[dict[str, Any]] = [{"$sample": {"size": SAMPLE}}] if is_sample else []
        pipeline.append({"$match": {"invited_at": {"$exists": False}}})  # the others have no password yet
        pipeline.append({"$group": {"_id": _form(), "number": {"$sum": 1}, "example": {"$first": "$password"}}})
        for group in users.aggregate(pipeline, comment=COMMENT):
            if group["_id"] == NONE:
                without = group["number"]
                continue
            try:
                kind = verify.kind(group["example"])
            except verify.CorruptHash:
                unreadable += group["number"]
            else:
                counts[kind] += group["number"]
                examples[kind] = group["example"]
    return Census(counts, examples, unreadable, without, is_sample)


def _form() -> dict[str, Any]:
    """Return the expression by which hashes are grouped, so that all of a group cost the same."""
    # Scheme and parameters, the lengths of salt and digest, and whether they are in passlib's base64.
    parameters = {"$slice": [PARTS, {"$subtract": [{"$size": PARTS}, 2]}]}
    has_dots = {"$regexMatch": {"input": "$password", "regex": r"\."}}
    foreign = [parameters, _length(-2), _length(-1), has_dots]
    cases = [
        {"case": _matches(verify.BCRYPT), "then": {"$substrBytes": ["$password", 4, 2]}},
        {"case": _matches(phc.FORM), "then": foreign},
    ]
    is_text = {"$eq": [{"$type": "$password"}, "string"]}
    form = {"$cond": [is_text, {"$switch": {"branches": cases, "default": "unreadable"}}, "unreadable"]}
    return {"$cond": [{"$eq": [{"$type": "$password_removed_at"}, "missing"]}, form, NONE]}


def _matches(pattern: str) -> dict[str, Any]:
    return {"$regexMatch": {"input": "$password", "regex": rf"\A(?:{pattern})\z"}}


def _length(index: int) -> dict[str, Any]:
    return {"$strLenBytes": {"$arrayElemAt": [PARTS, index]}}


class RefusalCost:
    """The cost of rejecting a login, for one application: at least `rounds`."""

    def __init__(self, users: UserStore, rounds: int) -> None:
        self._users = users
        self._rounds = rounds
        self._cost = float(rounds)
        self._due = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the cost, for `verify.verify_password`; start a count in the background when one is due."""
        if time.monotonic() >= self._due and self._lock.acquire(blocking=False):
            self._due = time.monotonic() + RECOUNT_SECONDS
            threading.Thread(target=self._count, daemon=True).start()
        return self._cost

    def _count(self) -> None:
        try:
            examples = count_hashes(self._users).examples.values()
            self._cost = max([float(self._rounds), *(math.log2(verify.units(example)) for example in examples)])
        except Exception as error:  # noqa: BLE001  # logins go on whatever fails
            self._due = 0.0  # the next login attempt starts another count
            log.warning(
                "The hashes could not be counted.", extra={"event": "not_counted", "cause": type(error).__name__}
            )
        finally:
            self._lock.release()
