"""The values in e-mails: text that people have typed, made harmless, and times in words."""

import unicodedata
from datetime import datetime, timedelta

from pixora.web.languages import candidates

LONGEST_NAME = 40
"""Characters of a name in an e-mail, so that a long one does not push the message out of the subject."""

_LONGEST_TEXT = 1000
_JOINERS = "\u200c\u200d"
"""Zero-width joiners, which Persian, Hindi and emoji need."""

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
_UNITS = {"en": ("minutes", "hours", "days"), "de": ("Minuten", "Stunden", "Tagen")}


def harmless(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Return a text on one line, without control and bidirectional characters, cut to a length.

    It cannot end the line of a header or paragraph, turn the text around it from right to left, or begin a button. In
    HTML, the layout escapes it.
    """
    if not isinstance(text, str):
        return ""
    kept = [
        " " if unicodedata.category(character)[0] == "Z" or character in "\t\n\r\v\f" else character
        for character in text[:_LONGEST_TEXT]
        if unicodedata.category(character)[0] != "C" or character in _JOINERS or character in "\t\n\r\v\f"
    ]
    line = " ".join("".join(kept).split()).lstrip("-> ")
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def time_in_words(time: datetime, language: str) -> str:
    """Return a time in UTC as the language writes it, or by ISO 8601 where we do not know the language."""
    months = next((_MONTHS[tag] for tag in candidates([language]) if tag in _MONTHS), None)
    if months is None:
        return f"{time:%Y-%m-%d %H:%M} UTC"
    dot = "." if months == _MONTHS["de"] else ""
    return f"{time.day}{dot} {months.split()[time.month - 1]} {time.year}, {time:%H:%M} UTC"


def duration_in_words(duration: timedelta, language: str) -> str:
    """Return a duration in minutes, hours or days, with the symbols of the SI where we do not know the language."""
    units = next((_UNITS[tag] for tag in candidates([language]) if tag in _UNITS), ("min", "h", "d"))
    minutes = round(duration.total_seconds() / 60)
    if minutes >= 72 * 60:
        return f"{round(minutes / 60 / 24)} {units[2]}"
    return f"{minutes} {units[0]}" if minutes < 120 else f"{round(minutes / 60)} {units[1]}"
