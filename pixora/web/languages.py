"""Languages: tags by BCP 47 (RFC 5646), and the languages that a client prefers (RFC 9110, section 12.5.4)."""

import re
from collections.abc import Iterable

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

LONGEST = 35
"""Characters of a tag (RFC 5646, section 4.4.1)."""

MAX_PREFERRED = 5
"""How many languages of a client are considered, the preferred ones first."""

_LONGEST_HEADER = 200
TAG = re.compile(r"(?:[A-Za-z]{2,3}|[A-Za-z]{5,8})(?:-[A-Za-z0-9]{1,8})*")
_RIGHT_TO_LEFT = {"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"}


def canonical(tag: str) -> str:
    """Return a tag in the case of RFC 5646, section 2.1.1: `de-at` is `de-AT`, `zh-hant-tw` is `zh-Hant-TW`.

    Raises:
        ValueError: It is not a language tag.

    """
    if len(tag) > LONGEST or not TAG.fullmatch(tag):
        raise ValueError("Must be a language tag, as in de or de-AT.")
    language, *subtags = tag.lower().split("-")
    after_singleton = False
    for place, subtag in enumerate(subtags):
        if not after_singleton and len(subtag) == 2:
            subtags[place] = subtag.upper()
        elif not after_singleton and len(subtag) == 4 and subtag.isalpha():
            subtags[place] = subtag.title()
        after_singleton |= len(subtag) == 1
    return "-".join([language, *subtags])


def preferred(header: str) -> list[str]:
    """Return the languages of an Accept-Language header, the preferred one first, without malformed ones."""
    if len(header) > _LONGEST_HEADER:
        header = header[:_LONGEST_HEADER].rpartition(",")[0]
    accepted = parse_accept_header(header, LanguageAccept)
    found = []
    for tag, quality in accepted:
        if quality > 0 and len(tag) <= LONGEST and TAG.fullmatch(tag):
            found.append(canonical(tag))
    return list(dict.fromkeys(found))[:MAX_PREFERRED]


def candidates(tags: Iterable[str]) -> list[str]:
    """Return tags, each followed by the more general ones that stand in for it (RFC 4647, section 3.4)."""
    found = []
    for tag in tags:
        parts = tag.split("-")
        found += ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return list(dict.fromkeys(found))


def direction(tag: str) -> str:
    """Return the direction of a language's script for HTML: `ltr` or `rtl`."""
    return "rtl" if tag.partition("-")[0] in _RIGHT_TO_LEFT else "ltr"
