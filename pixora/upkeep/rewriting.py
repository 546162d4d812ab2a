"""Giving e-mail addresses their canonical form, while others read and write.

Nothing is kept of how far this has come: what is done does not need it any more. So it can be killed at any moment, and
begun again.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pixora import clock
from pixora.accounts import bulk
from pixora.accounts.store import UserStore
from pixora.upkeep.addresses import Progress, Survey, mask, wanted_form


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


def rewrite(store: UserStore, survey: Survey, progress: Progress) -> Rewriting:
    """Give every address its canonical form, but those that clash; `updated_at` moves on as ever.

    Only under the unique index: without it, one that is changed could become the same as one that is signed up with.
    """
    changed = meanwhile = 0
    refused: list[Refusal] = []
    for batch in bulk.batches(store):
        if users := [user for user in batch if _is_to_change(user, survey.clashing)]:
            there, refusals = _change(store, users)
            changed += there
            meanwhile += len(users) - there - len(refusals)
            refused += refusals
        progress(len(batch))
    return Rewriting(changed, meanwhile, refused)


def _is_to_change(user: Mapping[str, Any], clashing: frozenset[int]) -> bool:
    email = user.get("email")
    return isinstance(email, str) and (wanted := wanted_form(email)) != email and hash(wanted) not in clashing


def _change(store: UserStore, users: list[Mapping[str, Any]]) -> tuple[int, list[Refusal]]:
    """Change the addresses of some users; return how many were changed, and which MongoDB has refused."""
    plain: list[Mapping[str, Any]] = []
    others: list[Mapping[str, Any]] = []
    for user in users:
        email = user["email"]
        (plain if email.isascii() and wanted_form(email) == email.lower() else others).append(user)
    now = clock.utcnow()
    lowered, left = bulk.lower_emails(store, plain, now) if plain else (0, [])
    if not (others := others + left):
        return lowered, []
    changed, codes = bulk.replace_emails(store, [(user, wanted_form(user["email"])) for user in others], now)
    refused = [Refusal(str(others[at]["_id"]), mask(others[at]["email"]), code) for at, code in codes.items()]
    return lowered + changed, refused
