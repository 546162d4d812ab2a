"""Making a database ours: that of the FastAPI service, or one of an older version; while either is at work."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from pymongo.errors import OperationFailure

from pixora import clock
from pixora.accounts.erasure import Erasure
from pixora.database import indexes
from pixora.database.client import Database
from pixora.database.failures import DUPLICATE_KEY
from pixora.errors import DatabaseUnavailable
from pixora.services import services
from pixora.upkeep import addresses
from pixora.upkeep.addresses import Progress, Survey
from pixora.upkeep.rewriting import Rewriting, rewrite

UNIQUE = "users.email_1"

ProgressBar = Callable[[str, int], AbstractContextManager[Progress]]
"""Shows how far something has come: given what it is, and how many users there are."""


class IndexWork(NamedTuple):
    """What became of the indexes: the names of those made and changed, and what to do about the others, by name."""

    made: list[str]
    changed: list[str]
    advice: dict[str, str]


class Upgrade(NamedTuple):
    """What was done. `rewriting`: None when the addresses were left alone, as asked or for want of the unique index."""

    index_work: IndexWork
    survey: Survey
    rewriting: Rewriting | None

    @property
    def advice(self) -> list[str]:
        """What a person has to do now, in sentences; nothing when all is well."""
        told = [f"{name}: {what}" for name, what in self.index_work.advice.items()]
        if UNIQUE in self.index_work.advice and self.survey.not_canonical:
            told.append("No address was changed: first the unique index must be there. Then run this again.")
        if number := len(self.survey.clashing):
            told.append(
                f"{_times(number, 'address belongs', 'addresses belong')} to more than one user, in another case or "
                "form; of these, none was changed. Find out which user is still in use, give the others another "
                "address or delete them, and run this again."
            )
        if number := self.survey.without_count:
            told.append(f"{_times(number, 'user has', 'users have')} no e-mail address. Give them one, or delete them.")
        if self.rewriting and self.rewriting.refused:
            taken = sum(refusal.code == DUPLICATE_KEY for refusal in self.rewriting.refused)
            told.append(
                f"{_times(len(self.rewriting.refused), 'address was', 'addresses were')} refused by MongoDB, {taken} "
                "because another user has come to have it meanwhile. Run this again."
            )
        return told

    def as_json(self) -> dict[str, Any]:
        """Return all of it, for programs. Of addresses, only what `addresses.mask` leaves."""
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
            "advice": self.advice,
        }


def upgrade(database: Database, erasures: Erasure, bar: ProgressBar, *, addresses_too: bool = True) -> Upgrade:
    """Make or mend the indexes, give every address its canonical form, and end erasures that were left half-way.

    Safe to repeat, and to begin again when it was killed.

    Args:
        database: Ours.
        erasures: Ours.
        bar: Shows how far it has come.
        addresses_too: False to only look at the addresses, and to change none.

    Raises:
        DatabaseUnavailable: what was done by then stays done.

    """
    index_work = _mend_indexes(database)
    number = addresses.count(database)
    with bar("Looking at the addresses", number) as progress:
        survey = addresses.survey(database, progress)
    if UNIQUE in index_work.advice or not addresses_too:
        return Upgrade(index_work, survey, None)
    rewriting = Rewriting(0, 0, [])
    if survey.not_canonical:
        with bar("Changing the addresses", number) as progress:
            rewriting = rewrite(database, survey, progress)
    if not index_work.advice:  # as long as an index is wrong, the stores serve nobody
        erasures.complete_due(clock.utcnow())
        services.one_time_tokens.delete_expired(clock.utcnow())
    return Upgrade(index_work, survey, rewriting)


def _mend_indexes(database: Database) -> IndexWork:
    work = IndexWork([], [], {})
    for fault in database.index_faults():
        if fault.there and not fault.can_be_changed:
            work.advice[fault.name] = (
                f"is not as it must be: its {' and '.join(fault.options)} differs. Drop it, in mongosh: "
                f'db.{fault.collection}.dropIndex("{fault.there}"). Then run this again.'
            )
            continue
        try:
            database.mend(fault)
        except OperationFailure as error:
            work.advice[fault.name] = indexes.advice(error)
        except DatabaseUnavailable as error:
            if error.reason != "unauthorized":
                raise
            work.advice[fault.name] = (
                f"the user of MONGO_URI may not {'change' if fault.there else 'make'} it. Grant the privilege "
                f"{'collMod' if fault.there else 'createIndex'} on {fault.collection}, and run this again."
            )
        else:
            (work.changed if fault.there else work.made).append(fault.name)
    return work


def _times(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
