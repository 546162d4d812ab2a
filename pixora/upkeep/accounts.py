"""The doctor's look at the users, at all of them: their addresses, their password hashes, and what is left of some."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pixora import clock
from pixora.database import Database
from pixora.foreign_hashes import SCHEMES
from pixora.upkeep.addresses import BATCH_SECONDS, count, survey
from pixora.upkeep.findings import Finding, fault, ok, warning

MOST_TOLD = 10
MOST_LOOKED_AT = 2_000_000
SAMPLE = 100_000
LATE = timedelta(hours=1)

BCRYPT = r"^\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}$"
FOREIGN = {scheme: rf"^\${scheme}\$" for scheme in SCHEMES}
"""What users may be imported with. Of anything else nothing is told: it might be a password in the clear."""


def addresses(database: Database) -> Iterator[Finding]:
    """Look for addresses that are not in canonical form, and for users who share one."""
    found = survey(database, lambda number: None)
    if number := len(found.clashing):
        shown = [
            " and ".join(f"{member.user_id} ({member.address})" for member in clash.members[:MOST_TOLD])
            for clash in found.clashes[:MOST_TOLD]
        ]
        more = f"; and {number - len(shown):,} more" if number > len(shown) else ""
        yield fault(
            f"{number:,} e-mail {'address belongs' if number == 1 else 'addresses belong'} to more than one user, in "
            f"another case or form: {'; '.join(shown)}{more}.",
            "Find out which user is still in use, give the others another address or delete them.",
        )
    if found.not_canonical:
        yield fault(
            f"{found.not_canonical:,} of {found.users:,} addresses are not in canonical form: a second account can be "
            "made with each.",
            f"{'See to those that are shared, then: ' if found.clashing else ''}flask --app wsgi db upgrade",
        )
    if found.without_count:
        shown = found.without[:MOST_TOLD]
        yield fault(
            f"Users without an e-mail address: {found.without_count:,}, among them {', '.join(shown)}.",
            "Give them one, or delete them.",
        )
    if not (found.clashing or found.not_canonical or found.without_count):
        yield ok(f"All {found.users:,} e-mail addresses are in canonical form, and each belongs to one user.")


def hashes(database: Database, rounds: int) -> Iterator[Finding]:
    """Count the kinds and costs of password hashes: of all users, or of a sample where they are very many."""
    number = count(database)
    is_sample = number > MOST_LOOKED_AT
    pipeline: list[dict[str, Any]] = [{"$sample": {"size": SAMPLE}}] if is_sample else []
    pipeline += [{"$group": {"_id": _kind(), "count": {"$sum": 1}}}]
    with database.translated_errors(at_least=BATCH_SECONDS):
        counted = {kind["_id"]: kind["count"] for kind in database.collection("users").aggregate(pipeline)}
    of = f"a sample of {SAMPLE:,}" if is_sample else f"{sum(counted.values()):,}"
    costs = {int(kind): counted[kind] for kind in counted if kind.isdecimal()}
    if cheap := {cost: costs[cost] for cost in sorted(costs) if cost < rounds}:
        yield fault(
            f"{sum(cheap.values()):,} of {of} password hashes cost less than BCRYPT_ROUNDS={rounds} "
            f"({_listed({f'cost {cost}': many for cost, many in cheap.items()})}).",
            "Each is made anew when its owner logs in. Have those who do not come back reset the password, or delete "
            "them.",
        )
    if foreign := {kind: counted[kind] for kind in counted if kind in FOREIGN}:
        yield warning(
            f"{sum(foreign.values()):,} of {of} password hashes are not bcrypt's ({_listed(foreign)}).",
            "They were imported; each is made anew when its owner logs in.",
        )
    if broken := counted.get("unreadable", 0):
        yield fault(
            f"{broken:,} of {of} password hashes cannot be read, or are of an absurd cost: nobody logs in with them.",
            "Their owners have to reset the password. See where they came from.",
        )
    if not (cheap or broken):
        yield ok(f"Of {of} password hashes none costs less than BCRYPT_ROUNDS={rounds}.")


def erasures(database: Database) -> Iterator[Finding]:
    """Look for erasures that were left half-way: someone is gone, and what is recorded about them may not be."""
    with database.translated_errors():
        number = database.collection("erasures").count_documents({"at": {"$lte": clock.utcnow() - LATE}})
    if number:
        yield fault(
            f"Erasures that were not completed: {number:,}. The audit trail may have ids of users who are gone.",
            "flask --app wsgi mail send, from cron or with --watch, completes them; flask --app wsgi db upgrade, too.",
        )
    else:
        yield ok("No erasure was left half-way.")


def _kind() -> dict[str, Any]:
    """Return the expression of what kind a hash is: bcrypt's cost, a name of `FOREIGN`, or `unreadable`."""

    def matches(pattern: str) -> dict[str, Any]:
        return {"$regexMatch": {"input": "$password", "regex": pattern}}

    cases: list[dict[str, Any]] = [{"case": matches(BCRYPT), "then": {"$substrBytes": ["$password", 4, 2]}}]
    cases += [{"case": matches(pattern), "then": name} for name, pattern in FOREIGN.items()]
    is_text = {"$eq": [{"$type": "$password"}, "string"]}
    return {"$cond": [is_text, {"$switch": {"branches": cases, "default": "unreadable"}}, "unreadable"]}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{what}: {number:,}" for what, number in counts.items())
