"""The password policy (NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 5.0, 6.2).

A request schema calls `check_length`, which costs nothing. After the throttles, `check_strength` scores the password in
the hashing queue.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pixora.passwords import strength
from pixora.passwords.verify import MAX_BYTES

MIN_SCORE = 3
"""zxcvbn: "safely unguessable: moderate protection from offline slow-hash scenario" """

MAX_KNOWN_CHARACTERS = 254
"""Characters considered of a name or e-mail address. Only documents of the FastAPI service have longer ones."""


LETTERS = re.compile(r"[^\W\d_]+")
SYMBOLS = frozenset("".join(strength.LEET.values()))


def _folded() -> dict[str, str]:
    """Return one character for each letter and the symbols that stand for it: `i`, `l` and `t` share some."""
    folded: dict[str, str] = {}
    for letter, symbols in strength.LEET.items():
        one = next((folded[symbol] for symbol in symbols if symbol in folded), letter)
        folded |= dict.fromkeys((letter, *symbols), one)
    return folded


FOLDED = str.maketrans(_folded())


class PasswordRejected(ValueError):
    """The password breaks the policy. `messages` tell its owner why."""

    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)
        super().__init__(*messages)


def known_words(user: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words that make a password of this user easy to guess: names, where there are any, and `email`."""
    first_name, last_name = user.get("first_name") or "", user.get("last_name") or ""
    return first_name, last_name, first_name + last_name, user["email"]


def check_length(password: str, min_length: int) -> None:
    """Check the length of a new password, which is neither trimmed nor normalised.

    Raises:
        PasswordRejected: The password has fewer characters, or is too long for bcrypt.

    """
    if len(password) < min_length:
        raise PasswordRejected(f"Must have at least {min_length} characters.")
    if len(password.encode()) > MAX_BYTES:
        raise PasswordRejected(
            f"Must have at most {MAX_BYTES} bytes in UTF-8, where letters with accents count two and emoji four."
        )


def check_strength(password: str, known_words: Iterable[str] = ()) -> None:
    """Check that a password, whose length was checked, is hard to guess.

    Raises:
        PasswordRejected: zxcvbn finds it easy to guess, or it consists of known words.

    """
    texts = [text[:MAX_KNOWN_CHARACTERS] for text in known_words]
    words = [word for text in texts for word in (text, *re.split(r"\W+", text)) if word]
    score, warning, suggestions = strength.score(password, words)
    if score < MIN_SCORE:
        raise PasswordRejected(warning or "This is easy to guess.", *suggestions)
    if _consists_of(texts, password):
        raise PasswordRejected("Must not consist of your names, e-mail address and digits alone.")


def _consists_of(texts: Iterable[str], password: str) -> bool:
    """Return whether a password is known words, one after the other, some of them perhaps backwards.

    Digits, separators, case and accents do not matter, and digits and symbols may stand for letters. zxcvbn alone takes
    several known words in a row for strong.
    """
    known = {spelled for text in texts for word in LETTERS.findall(_plain(text)) for spelled in (word, word[::-1])}
    plain = _plain(password)
    letters = "".join(LETTERS.findall(plain))
    if not letters:
        return False
    if _are_known(letters, known):
        return True
    spelled = [character for character in plain if character in SYMBOLS or LETTERS.match(character)]
    symbols = {place for place, character in enumerate(spelled) if character in SYMBOLS}
    return _are_known("".join(spelled).translate(FOLDED), {word.translate(FOLDED) for word in known}, symbols)


def _are_known(text: str, known: Collection[str], optional: Collection[int] = ()) -> bool:
    """Return whether a text is known words in a row; between them, characters at `optional` places do not count."""
    lengths = {len(word) for word in known}
    # Where a known word may end. Each position is tried once with each length, which bounds the time.
    ends = {0}
    for begin in range(len(text)):
        if begin in ends:
            ends |= {begin + length for length in lengths if text[begin : begin + length] in known}
            if begin in optional:
                ends.add(begin + 1)
    return len(text) in ends


def _plain(text: str) -> str:
    """Return a text without accents and differences of case."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(part for part in plain if not unicodedata.combining(part))
