"""Passwords: how one is kept and checked; what may be one is in `pixora.passwords.policy`. Knows no Flask."""

import re
import time
from collections.abc import Callable
from typing import NamedTuple

import bcrypt

from pixora.passwords import phc
from pixora.passwords.phc import ForeignHash

MAX_BYTES = 72
"""bcrypt reads no further. A longer password is refused, never truncated (NIST SP 800-63B-4, 3.1.1.2)."""

MIN_COST = 4
MAX_COST = 16
"""A stored hash that costs more (four seconds and up) is taken for corrupt: it would hang the login."""

REHEARSALS = 2
"""How often a check of a foreign kind is computed to measure what it costs, when the first of its kind is met."""

REHEARSED_UNITS = 2**8
"""The work of bcrypt that it is measured against, of 15 milliseconds."""


class Price(NamedTuple):
    """What a check of a foreign hash costs: seconds of a core, and units of bcrypt's work that take as long."""

    seconds: float
    units: int


_prices: dict[str, Price] = {}
"""By the kind."""

_COSTS = "|".join(f"{cost:02}" for cost in range(MIN_COST, MAX_COST + 1))
BCRYPT = rf"\$2[aby]\$({_COSTS})\$[./A-Za-z0-9]{{21}}[.Oeu][./A-Za-z0-9]{{30}}[.CGKOSWaeimquy26]"
"""A bcrypt hash that can be checked, in the syntax of Python and of MongoDB. The last characters of salt and digest
have bits to spare, which must be zero: with such a salt bcrypt refuses to work, and such a digest it never makes."""

_HASH = re.compile(BCRYPT, re.ASCII)


class CorruptHash(ValueError):
    """What is stored is not a hash that can be checked, or one of an absurd cost."""


def hash_password(password: str, rounds: int) -> str:
    """Return the bcrypt hash of `password`, `$2b$<rounds>$…`. Takes 2**rounds key schedules of CPU, GIL released."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def verify_password(
    password: str,
    stored: object,
    refusal_cost: float = MIN_COST,
    is_enabled: bool = True,  # noqa: FBT001, FBT002  # the hashing queue hands on arguments by position
) -> bool:
    """Tell whether `password` is the one that was hashed: by bcrypt, or as `foreign_hashes` has it.

    Every refusal takes as long as one of a hash of `refusal_cost`, so that time does not tell which account there is
    (OWASP ASVS 5.0, 6.3.8): also where there is no hash, None, or a corrupt one, or one of a lower cost. For bcrypt
    that is exact; what a foreign hash costs is measured, when the first of its kind is met.

    Args:
        password: As typed.
        stored: The hash; None where there is no user.
        refusal_cost: The base-two logarithm of bcrypt's work.
        is_enabled: False: the answer is no whatever the password.

    Raises:
        CorruptHash: `stored` is no hash that could be checked.

    """
    total = int(2**refusal_cost)
    try:
        hashed = None if stored is None else _parse(stored)
    except CorruptHash:
        _spend(total)
        raise
    if hashed is None:
        _spend(total)
        return False
    if isinstance(hashed, ForeignHash):
        return _verify_foreign(password, hashed, total, is_enabled=is_enabled)
    can_be = can_hash(password)
    if bcrypt.checkpw(password.encode() if can_be else b"", hashed[0].encode()) and can_be and is_enabled:
        return True
    _spend(total - 2 ** int(hashed[1]))
    return False


def can_hash(password: str) -> bool:
    """Tell whether bcrypt takes a password whole. One of a user who was imported may be longer."""
    return len(password.encode()) <= MAX_BYTES


def kind(stored: object) -> int | str:
    """Return what a hash costs to check: of bcrypt, the cost; of a foreign one, scheme and parameters.

    Raises:
        CorruptHash: `stored` is no hash that could be checked; says why, and nothing that is secret.

    """
    hashed = _parse(stored)
    return hashed.kind if isinstance(hashed, ForeignHash) else int(hashed[1])


def scheme(stored: object) -> str:
    """Return what a hash was made by: `bcrypt`, or one of `foreign_hashes.SCHEMES`; raises as `kind` does."""
    hashed = _parse(stored)
    return hashed.scheme if isinstance(hashed, ForeignHash) else "bcrypt"


def cost(stored: object) -> int:
    """Return the cost of a bcrypt hash, as the base-two logarithm of its iterations; 0 for a foreign one.

    Raises:
        CorruptHash: `stored` is no hash that could be checked.

    """
    found = kind(stored)
    return found if isinstance(found, int) else 0


def units(stored: object) -> int:
    """Return what a hash costs to check, in units of bcrypt's work; raises as `kind` does.

    That of a foreign one is measured when the first of its kind is met, which takes as long as some checks of it.
    """
    hashed = _parse(stored)
    return _price(hashed).units if isinstance(hashed, ForeignHash) else 2 ** int(hashed[1])


def _parse(stored: object) -> re.Match[str] | ForeignHash:
    if isinstance(stored, str) and phc.is_foreign(stored):
        try:
            return phc.parse(stored)
        except ValueError as error:
            raise CorruptHash(str(error)) from error
    match = _HASH.fullmatch(stored) if isinstance(stored, str) else None
    if match is None:
        raise CorruptHash(
            f"not a hash by bcrypt at a cost from {MIN_COST} to {MAX_COST}, nor by {', '.join(phc.SCHEMES)}"
        )
    return match


def _verify_foreign(password: str, hashed: ForeignHash, total: int, *, is_enabled: bool) -> bool:
    began = time.perf_counter()
    if hashed.matches(password) and is_enabled:
        return True
    taken = time.perf_counter() - began
    price = _price(hashed)
    # Argon2 may have several threads, and be done before its time where there is a core for each of them.
    time.sleep(max(0.0, price.seconds - taken))
    _spend(total - price.units)
    return False


def _price(hashed: ForeignHash) -> Price:
    """Return what a check of this kind costs, measured once in the life of this process."""
    known = _prices.get(hashed.kind)
    if known is None:
        # By the time of the thread, which is the same however busy the machine is.
        seconds = min(_timed(hashed.rehearse) for _ in range(REHEARSALS))
        unit = min(_timed(lambda: _spend(REHEARSED_UNITS)) for _ in range(2 * REHEARSALS)) / REHEARSED_UNITS
        known = _prices[hashed.kind] = Price(seconds, max(1, round(seconds / unit)))
    return known


def _timed(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def dummy_hash(rounds: int) -> str:
    """Return what looks like a hash of this cost, of no password."""
    return bcrypt.gensalt(rounds).decode() + "." * 31


def _spend(units: int) -> None:
    """Spend the time of bcrypt's work, one unit being that of cost 0: each step of the cost doubles it."""
    for rounds in range(MAX_COST, MIN_COST - 1, -1):
        while units >= 2**rounds:
            bcrypt.checkpw(b"", dummy_hash(rounds).encode())
            units -= 2**rounds
