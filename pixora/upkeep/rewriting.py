"""Giving e-mail addresses their canonical form while the service is running.

No progress is stored, because changed addresses need no second change: it can be killed and repeated at any time.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pixora import clock
from pixora.accounts import bulk
from pixora.accounts.users import UserStore
from pixora.upkeep.addresses import Progress, Survey, mask, wanted_form


class Refusal(NamedTuple):
    """A user whose address MongoDB refused to change, with its error code: `DUPLICATE_KEY` if another user has it."""

    user_id: str
    address: str
    code: int


class Rewriting(NamedTuple):
    """The outcome. MongoDB refuses an address mostly because another user took the same one since the survey."""

    changed: int  # how many addresses were changed to canonical form
    meanwhile: int  # how many were changed or deleted by others since they were read, and were left alone
    refused: list[Refusal]


def rewrite(store: UserStore, survey: Survey, progress: Progress) -> Rewriting:
    """Change every address to canonical form, except those that clash; `updated_at` increases.

    Requires the unique index: without it, a changed address could equal that of a concurrent sign-up.
    """
    changed = meanwhile = 0
    refused: list[Refusal] = []
    for batch in bulk.batches(store):
        if users := [user for user in batch if _needs_change(user, survey.clashing)]:
            modified, refusals = _change(store, users)
            changed += modified
            meanwhile += len(users) - modified - len(refusals)
            refused += refusals
        progress(len(batch))
    return Rewriting(changed, meanwhile, refused)


def _needs_change(user: Mapping[str, Any], clashing: frozenset[int]) -> bool:
    email = user.get("email")
    return isinstance(email, str) and (wanted := wanted_form(email)) != email and hash(wanted) not in clashing


def _change(store: UserStore, users: list[Mapping[str, Any]]) -> tuple[int, list[Refusal]]:
    """Change the addresses of some users; return how many were changed, and which MongoDB refused."""
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
