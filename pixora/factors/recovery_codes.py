"""Recovery codes: ten codes of 80 bits, each of which replaces the authenticator app once.

They are stored as bcrypt hashes. The hashes of one set share their salt, so checking a code computes one hash and not
ten; for somebody with a dump of the database, this makes 80 bits 77. Their cost is four steps below that of passwords:
a whole set takes less time than one password, and nobody can guess 77 random bits at any cost.
"""

import re
import secrets
from collections.abc import Sequence

import bcrypt

from pixora.passwords.verify import MIN_COST

NUMBER = 10
BYTES = 10
CHEAPER_BY = 4

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32: no letter looks like a digit."""

MISREAD = str.maketrans("oil", "011")
SPELLING = re.compile(f"[{ALPHABET}]{{16}}")


def generate() -> list[str]:
    """Return a new set of codes, as in `k3v8-9w2m-x0tq-7hbn`."""
    return [_spell(int.from_bytes(secrets.token_bytes(BYTES))) for _ in range(NUMBER)]


def normalize(text: str) -> str | None:
    """Return a code in its one spelling, or None if it cannot be one. Case, spaces and hyphens make no difference."""
    code = re.sub(r"[\s-]", "", text).lower().translate(MISREAD)
    return code if SPELLING.fullmatch(code) else None


def hash_all(codes: Sequence[str], rounds: int) -> list[str]:
    """Return the hashes of a set from `generate`, by the bcrypt cost of passwords. Runs in the hashing queue."""
    salt = bcrypt.gensalt(max(MIN_COST, rounds - CHEAPER_BY))
    return [_hash(str(normalize(code)), salt) for code in codes]


def find(code: str, hashes: Sequence[str]) -> str | None:
    """Return the hash of a normalized code if it is in the set. Runs in the hashing queue."""
    if not hashes:
        return None
    found = _hash(code, hashes[0][:29].encode())  # the salt, with the cost before it
    return found if found in hashes else None


def _hash(code: str, salt: bytes) -> str:
    return bcrypt.hashpw(code.encode(), salt).decode()


def _spell(number: int) -> str:
    code = "".join(ALPHABET[number >> shift & 31] for shift in range(75, -1, -5))
    return "-".join(code[start : start + 4] for start in range(0, 16, 4))
