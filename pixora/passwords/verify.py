"""Hash and verify passwords: bcrypt, and the hashes of imported users (`pixora.passwords.phc`).

All functions that compute run in the hashing queue. A refused password takes the same time whatever is stored, so
response times do not reveal which accounts exist (OWASP ASVS 5.0, 6.3.8).

One dummy hash for an unknown user is not enough. Stored hashes differ in cost, and the time of a refusal would tell a
known account with another cost from an unknown one. So every refusal is padded with bcrypt's work up to the
`refusal_cost` that `accounts/hash_census.py` finds in the database. Work is counted in units of bcrypt at cost 0: cost
`n` takes `2**n` of them.
"""

import re
import time
from collections.abc import Callable
from typing import NamedTuple

import bcrypt

from pixora.passwords import phc
from pixora.passwords.phc import PhcHash

MAX_BYTES = 72
"""bcrypt ignores further bytes. A longer password is refused, never truncated (NIST SP 800-63B-4, 3.1.1.2)."""

MIN_COST = 4
MAX_COST = 16
"""A stored hash of a higher cost, four seconds and more, counts as corrupt: it would block the login."""

MEASUREMENTS = 2
"""How often the cost of a PHC hash is measured. The lowest result counts."""

MEASURED_UNITS = 2**8
"""The bcrypt work it is compared with: about 15 ms."""

_COSTS = "|".join(f"{cost:02}" for cost in range(MIN_COST, MAX_COST + 1))
BCRYPT = rf"\$2[aby]\$({_COSTS})\$[./A-Za-z0-9]{{21}}[.Oeu][./A-Za-z0-9]{{30}}[.CGKOSWaeimquy26]"
"""A bcrypt hash that can be checked, in the regular expressions of Python and of MongoDB. The unused bits of the last
characters of salt and digest must be zero: bcrypt rejects such a salt and never makes such a digest."""

_BCRYPT = re.compile(BCRYPT, re.ASCII)


class MeasuredCost(NamedTuple):
    """The cost of checking a PHC hash: seconds of CPU, and the units of bcrypt's work that take as long."""

    seconds: float
    units: int


_measured: dict[str, MeasuredCost] = {}
"""By `PhcHash.kind`."""


class CorruptHash(ValueError):
    """The stored value is not a hash that can be checked at an acceptable cost. The message contains no secret."""


def hash_password(password: str, rounds: int) -> str:
    """Return the bcrypt hash of a password, `$2b$<rounds>$…`. Releases the GIL."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def verify_password(
    password: str,
    stored: object,
    refusal_cost: float = MIN_COST,
    is_enabled: bool = True,  # noqa: FBT001, FBT002  # the hashing queue passes arguments by position
) -> bool:
    """Return whether a password is the one that was hashed. A refusal takes as long as bcrypt of `refusal_cost`.

    Args:
        password: As typed.
        stored: The stored hash, or None if there is no user.
        refusal_cost: The binary logarithm of the units.
        is_enabled: If False, every password is refused.

    Raises:
        CorruptHash: `stored` is not a hash that can be checked. Raised after the same time.

    """
    total = int(2**refusal_cost)
    try:
        parsed = None if stored is None else _parse(stored)
    except CorruptHash:
        _spend(total)
        raise
    if parsed is None:
        _spend(total)
        return False
    if isinstance(parsed, PhcHash):
        return _verify_phc(password, parsed, total, is_enabled=is_enabled)
    is_whole = can_hash(password)
    if bcrypt.checkpw(password.encode() if is_whole else b"", parsed[0].encode()) and is_whole and is_enabled:
        return True
    _spend(total - 2 ** int(parsed[1]))
    return False


def can_hash(password: str) -> bool:
    """Return whether bcrypt reads the whole password. Those of imported users may be longer."""
    return len(password.encode()) <= MAX_BYTES


def kind(stored: object) -> int | str:
    """Return what decides the cost of a hash: the cost of bcrypt, or scheme and parameters of a PHC hash.

    Raises:
        CorruptHash: `stored` is not a hash that can be checked.

    """
    parsed = _parse(stored)
    return parsed.kind if isinstance(parsed, PhcHash) else int(parsed[1])


def scheme(stored: object) -> str:
    """Return `bcrypt` or one of `phc.SCHEMES`; raise `CorruptHash` as `kind` does."""
    parsed = _parse(stored)
    return parsed.scheme if isinstance(parsed, PhcHash) else "bcrypt"


def cost(stored: object) -> int:
    """Return the cost of a bcrypt hash, or 0 for a PHC hash; raise `CorruptHash` as `kind` does."""
    found = kind(stored)
    return found if isinstance(found, int) else 0


def units(stored: object) -> int:
    """Return the work of checking a hash, in units; raise `CorruptHash` as `kind` does.

    The first PHC hash of a kind is measured, which takes as long as some checks of it.
    """
    parsed = _parse(stored)
    return _measured_cost(parsed).units if isinstance(parsed, PhcHash) else 2 ** int(parsed[1])


def dummy_hash(rounds: int) -> str:
    """Return a well-formed hash of this cost that no password matches."""
    return bcrypt.gensalt(rounds).decode() + "." * 31


def _parse(stored: object) -> re.Match[str] | PhcHash:
    text = stored if isinstance(stored, str) else ""
    if bcrypt_hash := _BCRYPT.fullmatch(text):
        return bcrypt_hash
    if not phc.is_phc(text):
        raise CorruptHash(
            f"not a hash by bcrypt at a cost from {MIN_COST} to {MAX_COST}, nor by {', '.join(phc.SCHEMES)}"
        )
    try:
        return phc.parse(text)
    except ValueError as error:
        raise CorruptHash(str(error)) from error


def _verify_phc(password: str, parsed: PhcHash, total: int, *, is_enabled: bool) -> bool:
    began = time.perf_counter()
    if parsed.matches(password) and is_enabled:
        return True
    seconds = time.perf_counter() - began
    measured = _measured_cost(parsed)
    # Argon2 with several threads may take less than its CPU time.
    time.sleep(max(0.0, measured.seconds - seconds))
    _spend(total - measured.units)
    return False


def _measured_cost(parsed: PhcHash) -> MeasuredCost:
    """Return the cost of checking hashes of this kind, measured once in each process."""
    known = _measured.get(parsed.kind)
    if known is None:
        seconds = min(_cpu_seconds(parsed.compute) for _ in range(MEASUREMENTS))
        unit = min(_cpu_seconds(lambda: _spend(MEASURED_UNITS)) for _ in range(2 * MEASUREMENTS)) / MEASURED_UNITS
        known = _measured[parsed.kind] = MeasuredCost(seconds, max(1, round(seconds / unit)))
    return known


def _cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of this thread, which does not depend on how busy the machine is."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _spend(units: int) -> None:
    """Do `units` of bcrypt's work."""
    for rounds in range(MAX_COST, MIN_COST - 1, -1):
        while units >= 2**rounds:
            bcrypt.checkpw(b"", dummy_hash(rounds).encode())
            units -= 2**rounds
