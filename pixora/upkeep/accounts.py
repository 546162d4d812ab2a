"""The doctor's checks of the users: e-mail addresses, password hashes and unfinished erasures."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

from pixora import clock
from pixora.accounts import hash_census
from pixora.accounts.erasure import Erasure
from pixora.accounts.users import UserStore
from pixora.upkeep.addresses import survey
from pixora.upkeep.findings import Finding, fault, ok, warning

MOST_SHOWN = 10
LATE = timedelta(hours=1)


def addresses(users: UserStore) -> Iterator[Finding]:
    """Look for e-mail addresses that are not in canonical form, and for users who share one."""
    found = survey(users, lambda number: None)
    if number := len(found.clashing):
        shown = [
            " and ".join(f"{member.user_id} ({member.address})" for member in clash.members[:MOST_SHOWN])
            for clash in found.clashes[:MOST_SHOWN]
        ]
        more = f"; and {number - len(shown):,} more" if number > len(shown) else ""
        yield fault(
            f"{number:,} e-mail {'address belongs' if number == 1 else 'addresses belong'} to more than one user, in "
            f"different spellings: {'; '.join(shown)}{more}.",
            "Find out which user is still active; change the address of the others, or delete them.",
        )
    if found.not_canonical:
        yield fault(
            f"{found.not_canonical:,} of {found.users:,} e-mail addresses are not in canonical form: a second account "
            "can sign up with each.",
            f"{'Resolve the shared ones, then: ' if found.clashing else ''}flask --app wsgi db upgrade",
        )
    if found.without_count:
        shown = found.without[:MOST_SHOWN]
        yield fault(
            f"Users without an e-mail address: {found.without_count:,}, for example {', '.join(shown)}.",
            "Set their address, or delete them.",
        )
    if not (found.clashing or found.not_canonical or found.without_count):
        yield ok(f"All {found.users:,} e-mail addresses are in canonical form, and each belongs to one user.")


def hashes(users: UserStore, rounds: int, *, with_passkeys: bool) -> Iterator[Finding]:
    """Compare the costs of password hashes with BCRYPT_ROUNDS, and count the users who have removed their password.

    Of very many users, a sample is checked.
    """
    census = hash_census.count_hashes(users)
    number = census.counts.total() + census.unreadable
    of = f"a sample of {number:,}" if census.is_sample else f"{number:,}"
    costs = {kind: many for kind, many in census.counts.items() if isinstance(kind, int)}
    if weak := {cost: costs[cost] for cost in sorted(costs) if cost < rounds}:
        yield fault(
            f"{sum(weak.values()):,} of {of} password hashes cost less than BCRYPT_ROUNDS={rounds} "
            f"({_list({f'cost {cost}': many for cost, many in weak.items()})}).",
            "Each is upgraded when its owner logs in. Ask users who do not log in to reset their password.",
        )
    if costly := {cost: costs[cost] for cost in sorted(costs) if cost > rounds}:
        yield warning(
            f"{sum(costly.values()):,} of {of} password hashes cost more than BCRYPT_ROUNDS={rounds} "
            f"({_list({f'cost {cost}': many for cost, many in costly.items()})}): every failed login takes as long "
            "as the most expensive of them.",
            "Raise BCRYPT_ROUNDS to that cost, or ask their owners to reset their password.",
        )
    foreign: Counter[str] = Counter()
    for kind, many in census.counts.items():
        if isinstance(kind, str):
            foreign[kind.split()[0]] += many
    if foreign:
        yield warning(
            f"{sum(foreign.values()):,} of {of} password hashes are not bcrypt ({_list(foreign)}).",
            "They were imported; each is replaced by bcrypt when its owner logs in.",
        )
    if broken := census.unreadable:
        yield fault(
            f"{broken:,} of {of} password hashes are malformed or absurdly expensive: nobody can log in with them.",
            "Their owners have to reset their password. Find out where the hashes came from.",
        )
    if census.without and not with_passkeys:
        yield fault(
            f"Users who have removed their password, and cannot log in without WEBAUTHN_ORIGINS: {census.without:,}.",
            "Set WEBAUTHN_ORIGINS again. Otherwise they have to choose a new password, by an e-mailed link.",
        )
    elif census.without:
        yield ok(f"Users who log in with passkeys only: {census.without:,}.")
    if not (weak or broken):
        yield ok(f"Of {of} password hashes, none costs less than BCRYPT_ROUNDS={rounds}.")


def erasures(erasure: Erasure) -> Iterator[Finding]:
    """Look for unfinished erasures, after which records about deleted users may remain."""
    if number := erasure.count_overdue(clock.utcnow() - LATE):
        yield fault(
            f"Unfinished erasures: {number:,}. The audit trail may contain the ids of deleted users.",
            "flask --app wsgi db upgrade completes them, and so does mail send, from cron or with --watch.",
        )
    else:
        yield ok("No erasure is unfinished.")


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what}: {number:,}" for what, number in counts.items())
