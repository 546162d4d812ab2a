"""Upgrading a database of the FastAPI service or of an older version, while either is running."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from pixora import clock
from pixora.accounts import bulk
from pixora.database.client import Database
from pixora.database.failures import DUPLICATE_KEY
from pixora.services import Services
from pixora.upkeep import addresses
from pixora.upkeep.addresses import Progress, Survey
from pixora.upkeep.rewriting import Rewriting, rewrite

UNIQUE = "users.email_1"

ProgressBar = Callable[[str, int], AbstractContextManager[Progress]]
"""Makes a progress bar from a label and the number of users."""


class IndexWork(NamedTuple):
    """The names of the created and changed indexes, and by name what a person has to do about the others."""

    made: list[str]
    changed: list[str]
    advice: dict[str, str]


class Upgrade(NamedTuple):
    """The outcome."""

    index_work: IndexWork  # what was done with the indexes
    survey: Survey  # the e-mail addresses as they were
    rewriting: Rewriting | None  # None if no address was to be changed, or the unique index is missing
    passwords: int  # the number of users who were marked as without a password although they have one

    @property
    def advice(self) -> list[str]:
        """What a person has to do now; empty after a complete upgrade."""
        advice = [f"{name}: {sentence}" for name, sentence in self.index_work.advice.items()]
        if UNIQUE in self.index_work.advice and self.survey.not_canonical:
            advice.append("No e-mail address was changed, because the unique index is missing. Then run this again.")
        if number := len(self.survey.clashing):
            advice.append(
                f"{_count(number, 'address belongs', 'addresses belong')} to more than one user, in different "
                "spellings; these were not changed. Find out which user is still active, change the address of the "
                "others or delete them, and run this again."
            )
        if number := self.survey.without_count:
            advice.append(f"{_count(number, 'user has', 'users have')} no e-mail address. Set one, or delete them.")
        if self.rewriting and self.rewriting.refused:
            taken = sum(refusal.code == DUPLICATE_KEY for refusal in self.rewriting.refused)
            advice.append(
                f"MongoDB rejected {_count(len(self.rewriting.refused), 'address', 'addresses')}, {taken} because "
                "another user took the same one during the upgrade. Run this again."
            )
        return advice

    def as_json(self) -> dict[str, Any]:
        """Return the outcome for programs; e-mail addresses are masked."""
        rewriting = self.rewriting or Rewriting(0, 0, [])
        return {
            "indexes": self.index_work._asdict(),
            "users": self.survey.users,
            "addresses": {
                "not_canonical": self.survey.not_canonical,
                "changed": rewriting.changed,
                "changed_meanwhile": rewriting.meanwhile,
                "refused": [refusal._asdict() for refusal in rewriting.refused],
                "clashes": len(self.survey.clashing),
                "clashing": [
                    {"same_spelling": clash.is_exact, "users": [member._asdict() for member in clash.members]}
                    for clash in self.survey.clashes
                ],
                "missing": self.survey.without_count,
                "without_address": self.survey.without,
            },
            "passwords": {"corrected": self.passwords},
            "advice": self.advice,
        }


def upgrade(services: Services, progress_bar: ProgressBar, *, addresses_too: bool = True) -> Upgrade:
    """Repair the indexes, correct what older versions left, and complete unfinished erasures.

    Can be repeated, also after it was killed.

    Raises:
        DatabaseUnavailable: completed work is kept.

    """
    database = services.database
    index_work = _repair_indexes(database)
    passwords = bulk.correct_removed_passwords(services.users, clock.utcnow())
    number = bulk.estimate_count(services.users)
    with progress_bar("Checking e-mail addresses", number) as progress:
        survey = addresses.survey(services.users, progress)
    if UNIQUE in index_work.advice or not addresses_too:
        return Upgrade(index_work, survey, None, passwords)
    rewriting = Rewriting(0, 0, [])
    if survey.not_canonical:
        with progress_bar("Changing e-mail addresses", number) as progress:
            rewriting = rewrite(services.users, survey, progress)
    if not index_work.advice:  # the stores serve nobody while an index is wrong
        services.erasure.complete_due(clock.utcnow())
        services.one_time_tokens.delete_expired(clock.utcnow())
    return Upgrade(index_work, survey, rewriting, passwords)


def _repair_indexes(database: Database) -> IndexWork:
    work = IndexWork([], [], {})
    for fault in database.index_faults():
        if advice := database.repair_index(fault):
            work.advice[fault.name] = advice
        else:
            (work.changed if fault.there else work.made).append(fault.name)
    return work


def _count(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
