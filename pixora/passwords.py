"""Passwords: what may be one, and how one is kept. Knows no Flask."""

import re
from collections.abc import Iterable

import bcrypt
from zxcvbn_rs_py import zxcvbn

MAX_BYTES = 72
"""bcrypt reads no further. A longer password is refused, never truncated (NIST SP 800-63B-4, 3.1.1.2)."""

MIN_SCORE = 3
"""zxcvbn: "safely unguessable: moderate protection from offline slow-hash scenario" """

MIN_COST = 4
MAX_COST = 16
"""A stored hash that costs more (four seconds and up) is taken for corrupt: it would hang the login."""

_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)


class PasswordRejected(ValueError):
    """The password may not be used. `messages` says why, for its owner to read."""

    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)
        super().__init__(*messages)


class CorruptHash(ValueError):
    """What is stored is not a bcrypt hash, or one of an absurd cost."""


def check_policy(password: str, min_length: int, known_words: Iterable[str] = ()) -> None:
    """Check a new password (NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 5.0, 6.2).

    Args:
        password: As typed: neither trimmed nor normalised.
        min_length: In characters.
        known_words: The user's names and e-mail, which make a password easy to guess.

    Raises:
        PasswordRejected: It is too short, too long, or zxcvbn finds it easy to guess.

    """
    if len(password) < min_length:
        raise PasswordRejected(f"Must have at least {min_length} characters.")
    if len(password.encode()) > MAX_BYTES:
        raise PasswordRejected(
            f"Must have at most {MAX_BYTES} bytes in UTF-8, where letters with accents count two and emoji four."
        )
    words = [word for text in known_words for word in (text, *re.split(r"\W+", text)) if word]
    result = zxcvbn(password, words)
    if int(result.score) < MIN_SCORE:
        feedback = result.feedback
        warning = feedback and feedback.warning
        suggestions = feedback.suggestions if feedback else []
        raise PasswordRejected(str(warning or "This is easy to guess."), *map(str, suggestions))


def known_words(first_name: str, last_name: str, email: str) -> tuple[str, ...]:
    """Return what makes a user's password easy to guess, for `check_policy`."""
    return first_name, last_name, first_name + last_name, email


def hash_password(password: str, rounds: int) -> str:
    """Return the bcrypt hash of `password`, `$2b$<rounds>$…`. Takes 2**rounds key schedules of CPU, GIL released."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def verify_password(password: str, stored: object, usual_cost: int = MIN_COST) -> bool:
    """Tell whether `password` is the one that was hashed, in `$2a$`, `$2b$` or `$2y$` form.

    A password that is not takes as long as one of a hash of `usual_cost`, so that time does not tell which account
    there is (OWASP ASVS 5.0, 6.3.8): also where there is no hash, None, or a corrupt one, or one of a lower cost.

    Raises:
        CorruptHash: `stored` is no bcrypt hash that could be checked.

    """
    if stored is None:
        _spend(usual_cost)
        return False
    is_short = len(password.encode()) <= MAX_BYTES
    try:
        hashed = _parse(stored)
        is_equal = bcrypt.checkpw(password.encode() if is_short else b"", hashed[0].encode())
    except ValueError as error:
        _spend(usual_cost)
        if isinstance(error, CorruptHash):
            raise
        raise CorruptHash("bcrypt cannot read it") from error  # a salt whose spare bits are set
    if is_equal and is_short:
        return True
    # Each step doubles the work: with one more of each cost from its own on, it is that of the usual cost exactly.
    for padding in range(int(hashed[1]), usual_cost):
        _spend(padding)
    return False


def cost(stored: object) -> int:
    """Return the cost of a bcrypt hash, as the base-two logarithm of its iterations.

    Raises:
        CorruptHash: `stored` is no bcrypt hash that could be checked.

    """
    return int(_parse(stored)[1])


def _parse(stored: object) -> re.Match[str]:
    match = _HASH.fullmatch(stored) if isinstance(stored, str) else None
    if match is None:
        raise CorruptHash("not a bcrypt hash")
    if not MIN_COST <= int(match[1]) <= MAX_COST:
        raise CorruptHash("not of a cost we would bear")
    return match


def dummy_hash(rounds: int) -> str:
    """Return what looks like a hash of this cost, of no password."""
    return bcrypt.gensalt(rounds).decode() + "." * 31


def _spend(rounds: int) -> None:
    """Spend the time of a check of this cost."""
    bcrypt.checkpw(b"", dummy_hash(rounds).encode())
