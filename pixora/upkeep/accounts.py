"""The doctor's look at the users, at all of them: their addresses, their password hashes, and what is left of some."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

from pixora import clock
from pixora.accounts import hash_census
from pixora.database.client import Database
from pixora.upkeep.addresses import BATCH_SECONDS, survey
from pixora.upkeep.findings import Finding, fault, ok, warning

MOST_TOLD = 10
LATE = timedelta(hours=1)


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
    census = hash_census.count_hashes(database, BATCH_SECONDS)
    number = census.counts.total() + census.unreadable
    of = f"a sample of {number:,}" if census.is_sample else f"{number:,}"
    costs = {kind: many for kind, many in census.counts.items() if isinstance(kind, int)}
    if cheap := {cost: costs[cost] for cost in sorted(costs) if cost < rounds}:
        yield fault(
            f"{sum(cheap.values()):,} of {of} password hashes cost less than BCRYPT_ROUNDS={rounds} "
            f"({_listed({f'cost {cost}': many for cost, many in cheap.items()})}).",
            "Each is made anew when its owner logs in. Have those who do not come back reset the password, or delete "
            "them.",
        )
    if dear := {cost: costs[cost] for cost in sorted(costs) if cost > rounds}:
        yield warning(
            f"{sum(dear.values()):,} of {of} password hashes cost more than BCRYPT_ROUNDS={rounds} "
            f"({_listed({f'cost {cost}': many for cost, many in dear.items()})}): every login that is refused takes as "
            "long as the dearest of them.",
            "Set BCRYPT_ROUNDS as high, or have their owners reset the password.",
        )
    foreign: Counter[str] = Counter()
    for kind, many in census.counts.items():
        if isinstance(kind, str):
            foreign[kind.split()[0]] += many
    if foreign:
        yield warning(
            f"{sum(foreign.values()):,} of {of} password hashes are not bcrypt's ({_listed(foreign)}).",
            "They were imported; each is made anew when its owner logs in.",
        )
    if broken := census.unreadable:
        yield fault(
            f"{broken:,} of {of} password hashes cannot be read, or are of an absurd cost: nobody logs in with them.",
            "Their owners have to reset the password. See where they came from.",
        )
    if not (cheap or broken):
        yield ok(f"Of {of} password hashes none costs less than BCRYPT_ROUNDS={rounds}.")


def erasures(database: Database) -> Iterator[Finding]:
    """Look for erasures that were left half-way: someone is gone, and what is recorded about them may not be."""
    with database.operation():
        number = database.collection("erasures").count_documents({"at": {"$lte": clock.utcnow() - LATE}})
    if number:
        yield fault(
            f"Erasures that were not completed: {number:,}. The audit trail may have ids of users who are gone.",
            "flask --app wsgi mail send, from cron or with --watch, completes them; flask --app wsgi db upgrade, too.",
        )
    else:
        yield ok("No erasure was left half-way.")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what}: {number:,}" for what, number in counts.items())
