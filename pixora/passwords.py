"""Passwords: how one is kept and checked; what may be one is in `pixora.policy`. Knows no Flask."""

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import bcrypt

from pixora import foreign_hashes
from pixora.foreign_hashes import ForeignHash

MAX_BYTES = 72
"""bcrypt reads no further. A longer password is refused, never truncated (NIST SP 800-63B-4, 3.1.1.2)."""

MIN_COST = 4
MAX_COST = 16
"""A stored hash that costs more (four seconds and up) is taken for corrupt: it would hang the login."""

FOREIGN_SHARE = 0.1
"""Of the hashes that are met: where fewer are foreign, those who are not known are like the others."""

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

# The last character of the salt has bits to spare, which bcrypt wants to be none.
_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)


class CorruptHash(ValueError):
    """What is stored is not a hash that can be checked, or one of an absurd cost."""


def hash_password(password: str, rounds: int) -> str:
    """Return the bcrypt hash of `password`, `$2b$<rounds>$…`. Takes 2**rounds key schedules of CPU, GIL released."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def verify_password(password: str, stored: object, usual_cost: float = MIN_COST) -> bool:
    """Tell whether `password` is the one that was hashed: by bcrypt, or as `foreign_hashes` has it.

    A password that is not takes as long as one of a hash of `usual_cost`, so that time does not tell which account
    there is (OWASP ASVS 5.0, 6.3.8): also where there is no hash, None, or a corrupt one, or one of a lower cost. For
    bcrypt that is exact; what a foreign hash costs is measured, when the first of its kind is met.

    Raises:
        CorruptHash: `stored` is no hash that could be checked.

    """
    units = int(2**usual_cost)
    try:
        hashed = None if stored is None else _parse(stored)
    except CorruptHash:
        _spend(units)
        raise
    if hashed is None:
        _spend(units)
        return False
    if isinstance(hashed, ForeignHash):
        return _verify_foreign(password, hashed, units)
    can_be = can_hash(password)
    if bcrypt.checkpw(password.encode() if can_be else b"", hashed[0].encode()) and can_be:
        return True
    _spend(units - 2 ** int(hashed[1]))
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


def usual_cost(met: Mapping[int | str, int]) -> float:
    """Return the cost that most of the hashes have that were met, for `verify_password`.

    Where foreign hashes are not rare, and the most frequent of them costs more than bcrypt, it is that one's, which
    lies between two costs of bcrypt: else those who are not known would be told from those who were imported.

    Args:
        met: How many there were of each `kind`; one of bcrypt at least.

    """
    usual = max((found for found in met if isinstance(found, int)), key=met.__getitem__)
    foreign = {found: number for found, number in met.items() if isinstance(found, str)}
    if not foreign or sum(foreign.values()) < FOREIGN_SHARE * sum(met.values()):
        return usual
    price = _prices.get(max(foreign, key=foreign.__getitem__))
    return max(usual, math.log2(price.units)) if price else usual


def _parse(stored: object) -> re.Match[str] | ForeignHash:
    if isinstance(stored, str) and foreign_hashes.is_foreign(stored):
        try:
            return foreign_hashes.parse(stored)
        except ValueError as error:
            raise CorruptHash(str(error)) from error
    match = _HASH.fullmatch(stored) if isinstance(stored, str) else None
    if match is None:
        raise CorruptHash(f"not a hash by bcrypt, nor by {', '.join(foreign_hashes.SCHEMES)}")
    if not MIN_COST <= int(match[1]) <= MAX_COST:
        raise CorruptHash("not of a cost we would bear")
    return match


def _verify_foreign(password: str, hashed: ForeignHash, units: int) -> bool:
    began = time.perf_counter()
    if hashed.is_of(password):
        return True
    taken = time.perf_counter() - began
    price = _price(hashed)
    # Argon2 may have several threads, and be done before its time where there is a core for each of them.
    time.sleep(max(0.0, price.seconds - taken))
    _spend(units - price.units)
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
