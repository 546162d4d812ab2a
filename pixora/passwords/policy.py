"""The password policy: what may be a password (NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 5.0, 6.2). Knows no Flask.

`check_length` costs nothing, and comes first. `check_strength` scores the password, and belongs into the hashing queue.

zxcvbn holds the GIL while it scores, so that one call stops a whole worker. What makes it slow is leet speak: for each
letter it tries every symbol that stands for the letter, in all combinations (up to 800), and looks up all parts of the
password anew for each of them. Measured with zxcvbn-rs-py 0.3.0, the newest release: 3 ms for 72 ordinary characters,
0.5 to 0.9 s for 72 that have all 20 symbols. No release does it without the GIL, and no other maintained package is
faster. So the cost is estimated first, and what would take over 5 ms or so is scored in a process of its own: the same
score, 50 ms more, and rarely needed.

Measured, and not done: scoring a part of the password, which is not sound, for a cut hides repeats and words (of 223
such passwords that were composed of words, walks on the keyboard and repeats, one weak one passed and 14 strong ones
failed); always scoring in another process, which would cost every sign-up those 50 ms.
"""

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from zxcvbn_rs_py import zxcvbn

from pixora.passwords.verify import MAX_BYTES, can_hash

MIN_SCORE = 3
"""zxcvbn: "safely unguessable: moderate protection from offline slow-hash scenario" """

LEET = {
    "a": "4@",
    "b": "8",
    "c": "({[<",
    "e": "3",
    "g": "69",
    "i": "1!|",
    "l": "1|7",
    "o": "0",
    "s": "$5",
    "t": "+7",
    "x": "%",
    "z": "2",
}
"""zxcvbn's table: the symbols that stand for a letter."""

AMBIGUOUS = "1|7"
"""Symbols that stand for two letters: zxcvbn tries each combination with one and with the other."""

MOST_WORK = 60_000
"""Combinations times the square of the length, which take 5 ms; 10 ms on a slow machine."""

LOOKUPS_BESIDE_LEET = 8
"""What zxcvbn does besides, in combinations."""

SCORING_SECONDS = 20
"""For the process that scores: ten times what the worst password takes."""

LONGEST_TEXT = 254
"""Characters that are looked at in a name or address. Those of today are shorter; the FastAPI service had no limit."""

PROGRAM = """
import json, sys
from zxcvbn_rs_py import zxcvbn
entropy = zxcvbn(*json.load(sys.stdin))
feedback = entropy.feedback
warning = feedback and feedback.warning
suggestions = [str(suggestion) for suggestion in feedback.suggestions] if feedback else []
print(json.dumps([int(entropy.score), warning and str(warning), suggestions]))
"""


zxcvbn("warm up")
"""zxcvbn reads its dictionaries at the first call, which takes 20 ms: not while a request waits for the GIL."""


class PasswordRejected(ValueError):
    """The password may not be used. `messages` says why, for its owner to read."""

    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)
        super().__init__(*messages)


class Verdict(NamedTuple):
    """What zxcvbn finds: a score from 0 to 4, and its advice where that is under 3."""

    score: int
    warning: str | None
    suggestions: list[str]


def known_words(first_name: str, last_name: str, email: str) -> tuple[str, ...]:
    """Return what makes a user's password easy to guess, for `check_strength`."""
    return first_name, last_name, first_name + last_name, email


def check_length(password: str, min_length: int) -> None:
    """Check the length of a new password, as typed: neither trimmed nor normalised.

    Args:
        password: The new one.
        min_length: In characters.

    Raises:
        PasswordRejected: It is too short, or too long for bcrypt.

    """
    if len(password) < min_length:
        raise PasswordRejected(f"Must have at least {min_length} characters.")
    if not can_hash(password):
        raise PasswordRejected(
            f"Must have at most {MAX_BYTES} bytes in UTF-8, where letters with accents count two and emoji four."
        )


def check_strength(password: str, known_words: Iterable[str] = ()) -> None:
    """Check that a password of an acceptable length is hard to guess.

    Args:
        password: The new one.
        known_words: The user's names and e-mail address.

    Raises:
        PasswordRejected: zxcvbn finds it easy to guess, or it is made of the known words alone.

    """
    texts = [text[:LONGEST_TEXT] for text in known_words]
    words = [word for text in texts for word in (text, *re.split(r"\W+", text)) if word]
    score, warning, suggestions = _score(password, words)
    if score < MIN_SCORE:
        raise PasswordRejected(warning or "This is easy to guess.", *suggestions)
    if _is_made_of(password, texts):
        raise PasswordRejected("Must not consist of your names, e-mail address and digits alone.")


def _score(password: str, words: list[str]) -> Verdict:
    if _work(password) > MOST_WORK:
        return _score_elsewhere(password, words)
    entropy = zxcvbn(password, words)
    feedback = entropy.feedback
    warning = feedback and feedback.warning
    return Verdict(
        int(entropy.score), str(warning) if warning else None, [*map(str, feedback.suggestions)] if feedback else []
    )


def _work(password: str) -> float:
    """Estimate, from above, what zxcvbn has to do."""
    combinations = 1.0
    for symbols in LEET.values():
        here = [symbol for symbol in symbols if symbol in password]
        combinations *= max(1.0, sum(1.5 if symbol in AMBIGUOUS else 1.0 for symbol in here))
    return (combinations + LOOKUPS_BESIDE_LEET) * len(password) ** 2


def _score_elsewhere(password: str, words: list[str]) -> Verdict:
    """Score in another process, which has a GIL of its own and the priority of this thread."""
    try:
        told = subprocess.run(  # noqa: S603  # the password goes by stdin
            [sys.executable, "-I", "-c", PROGRAM],
            input=json.dumps([password, words]),
            capture_output=True,
            check=True,
            text=True,
            encoding="utf-8",
            timeout=SCORING_SECONDS,
        ).stdout
    except subprocess.TimeoutExpired as error:
        raise PasswordRejected("Could not be checked in time. Please use fewer different symbols.") from error
    return Verdict(*json.loads(told))


def _is_made_of(password: str, texts: Iterable[str]) -> bool:
    """Tell whether all letters of a password are those of known words, one after the other.

    Digits and separators between them are dropped, and case and accents do not matter. zxcvbn adds up the parts and so
    takes several known words for a strong password.
    """
    letters = "".join(_words(password))
    known = {word for text in texts for word in _words(text)}
    lengths = {len(word) for word in known}
    # Where a known word may end: each place is looked at once for each length, so that this takes no longer than the
    # product of both, whatever the words.
    ends = {0}
    for begin in range(len(letters)):
        if begin in ends:
            ends |= {begin + length for length in lengths if letters[begin : begin + length] in known}
    return bool(letters) and len(letters) in ends


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return re.findall(r"[^\W\d_]+", "".join(part for part in plain if not unicodedata.combining(part)))
