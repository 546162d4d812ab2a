"""Score passwords with zxcvbn without holding the GIL for more than a few milliseconds.

zxcvbn holds the GIL while it scores, so one call can stop a whole worker. Leet speak makes it slow: it tries every
letter a symbol can stand for, in all combinations (up to 800), and looks up every part of the password for each.
zxcvbn-rs-py 0.3.0, the newest release, takes 3 ms for 72 ordinary characters and up to 0.9 s for 72 of these symbols.

So `score` estimates the work first, and scores what would take over 5 ms in another process, by running this file: the
same score, 50 ms later, and rarely needed. To always use a process would cost every sign-up those 50 ms. To score a
part of the password misses repeats and words that the cut divides. No other maintained package is faster.

The first call in a process reads the dictionaries, which takes 20 ms and 8 MB. In production this is the check of
`SECRET_KEY` in gunicorn's master, whose memory the workers share.

Run as a script, this module must not import `pixora`.
"""

import json
import subprocess
import sys
from typing import NamedTuple

from zxcvbn_rs_py import zxcvbn

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
"""Symbols that stand for two letters. zxcvbn tries each combination with either."""

MAX_WORK = 60_000
"""Combinations times the square of the length: 5 ms, or 10 ms on a slow machine."""

LOOKUPS_BESIDE_LEET = 8
"""The rest of zxcvbn's work, in combinations."""

TIMEOUT_SECONDS = 20
"""For the other process: ten times what the worst password takes."""


class Strength(NamedTuple):
    """A score from 0 to 4, and zxcvbn's advice for a score under 3."""

    score: int
    warning: str | None
    suggestions: list[str]


def score(password: str, known_words: list[str]) -> Strength:
    """Score a password that contains no other personal words than `known_words`."""
    return _score_here(password, known_words) if _work(password) <= MAX_WORK else _score_apart(password, known_words)


def _work(password: str) -> float:
    """Return an upper estimate of zxcvbn's work."""
    combinations = 1.0
    for symbols in LEET.values():
        found = [symbol for symbol in symbols if symbol in password]
        combinations *= max(1.0, sum(1.5 if symbol in AMBIGUOUS else 1.0 for symbol in found))
    return (combinations + LOOKUPS_BESIDE_LEET) * len(password) ** 2


def _score_here(password: str, known_words: list[str]) -> Strength:
    entropy = zxcvbn(password, known_words)
    feedback = entropy.feedback
    if feedback is None:
        return Strength(int(entropy.score), None, [])
    warning = str(feedback.warning) if feedback.warning else None
    return Strength(int(entropy.score), warning, [*map(str, feedback.suggestions)])


def _score_apart(password: str, known_words: list[str]) -> Strength:
    """Score in another process, which has a GIL of its own and the priority of this thread."""
    try:
        output = subprocess.run(  # noqa: S603  # the password goes by stdin
            [sys.executable, "-I", __file__],
            input=json.dumps([password, known_words]),
            capture_output=True,
            check=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT_SECONDS,
        ).stdout
    except subprocess.TimeoutExpired:
        return Strength(0, "Could not be checked in time. Use fewer different symbols.", [])
    return Strength(*json.loads(output))


if __name__ == "__main__":
    json.dump(_score_here(*json.load(sys.stdin)), sys.stdout)
