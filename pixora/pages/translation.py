"""The language of a page, and its texts in it. English is the language of the code."""

import re
from collections.abc import Callable

from flask import request

from pixora.pages.german import GERMAN
from pixora.services import services
from pixora.web import languages

CATALOGUES: dict[str, dict[str, str]] = {"en": {}, "de": GERMAN}

NUMBER = re.compile(r"(?<![\w-])\d+")
"""A number, but not that of UTF-8."""

LOCALE = "locale"
"""The query parameter by which a link in an e-mail names the language of the e-mail."""


def linked_language() -> str | None:
    """Return the language that the URL asks for, if we have it."""
    try:
        return _available([languages.canonical(request.args.get(LOCALE, ""))])
    except ValueError:
        return None


def language() -> str:
    """Return the language of the page: that of the link, else of the browser, else `DEFAULT_LOCALE`."""
    accepted = languages.preferred(request.headers.get("Accept-Language", ""))
    return linked_language() or _available([*accepted, services.settings.default_locale]) or "en"


def translator(tag: str) -> Callable[[str], str]:
    """Return a function that translates a text into a language of `CATALOGUES`; what it does not know stays English.

    Texts with numbers are found by their pattern, with `{}` in place of each number.
    """
    catalogue = CATALOGUES[tag]

    def translate(text: str) -> str:
        if text in catalogue:
            return catalogue[text]
        numbers = NUMBER.findall(text)
        pattern = catalogue.get(NUMBER.sub("{}", text))
        return pattern.format(*numbers) if pattern else text

    return translate


def _available(tags: list[str]) -> str | None:
    return next((tag for tag in languages.candidates(tags) if tag in CATALOGUES), None)
