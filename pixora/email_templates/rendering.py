"""Rendering: one template gives the subject, the text and the HTML of an e-mail.

A template is plain text: the subject in the first line, then paragraphs separated by empty lines. The paragraph that
begins with `->` is the link and the label of its button.
"""

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jinja2 import TemplateError

from pixora.email_templates.catalogue import LAYOUTS, Catalogue, Found, has_link
from pixora.email_templates.faults import TemplateFault
from pixora.web.languages import direction

LINE_LENGTH = 72
LONGEST_SUBJECT = 200

BUTTON = "-> "
SAMPLE_LINK = "https://auth.example.com/sample-link"
_SAMPLES = {
    "service": "Example",
    "when": "27 November 2026, 09:30 UTC",
    "until": "28 November 2026, 09:30 UTC",
    "lasts": "24 hours",
    "new_link_url": "https://auth.example.com/verify-email/again",
    "changes": "first_name,contact",
    "codes_left": "3",
}
_OPTIONAL = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "new_email": "ada.lovelace@example.com",
    "few_codes_left": "yes",
}


class Look(NamedTuple):
    """The look of e-mails: the colour of the button as `#rrggbb`, that of the text on it, and the URL of a logo."""

    color: str
    text_color: str
    logo: str | None


class Content(NamedTuple):
    """The rendered parts of an e-mail. `link`, if there is one, is also in `text` and `html`."""

    subject: str
    text: str
    html: str
    link: str | None


DEFAULT_LOOK = Look("#1d4ed8", "#ffffff", None)


def compose(catalogue: Catalogue, found: Found, values: Mapping[str, str], *, link: str | None, look: Look) -> Content:
    """Render a template, whose variables are one line each, in its layouts; raise `TemplateError` if that fails."""
    head, _, body = found.template.render(values).partition("\n")
    subject, *paragraphs = [" ".join(part.split()) for part in (head, *re.split(r"\n\s*\n", body.strip()))]
    parts = [
        {"is_link": part.startswith(BUTTON), "words": part.removeprefix(BUTTON), "lines": _wrap(part)}
        for part in paragraphs
    ]
    layout = {
        "subject": subject,
        "parts": parts,
        "link": link,
        "service": values["service"],
        "language": found.language,
        "direction": direction(found.language),
        **look._asdict(),
    }
    text, html = (catalogue.layout(name, found.language).render(layout) for name in LAYOUTS)
    return Content(subject, text, html, link)


def check(catalogue: Catalogue) -> None:
    """Render every template with and without the values that can be empty.

    Raises:
        TemplateFault: One cannot be sent, for example because it has no button for its link.

    """
    for name, found in catalogue:
        if name not in LAYOUTS:
            for optional in (_OPTIONAL, dict.fromkeys(_OPTIONAL, "")):
                _check(catalogue, found, _SAMPLES | optional)


def _check(catalogue: Catalogue, found: Found, values: dict[str, str]) -> None:
    path = found.path
    link = SAMPLE_LINK if has_link(path.stem) else None
    try:
        content = compose(catalogue, found, values, link=link, look=DEFAULT_LOOK)
    except (TemplateError, TypeError, ValueError) as error:
        raise TemplateFault(path, _line(error, path), f"it cannot be rendered: {error}") from error
    buttons = [number for number, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(BUTTON)]
    if not 0 < len(content.subject) <= LONGEST_SUBJECT or content.subject.startswith(BUTTON.strip()):
        raise TemplateFault(path, 1, f"the subject must have between 1 and {LONGEST_SUBJECT} characters.")
    if link is None and buttons:
        raise TemplateFault(path, buttons[0], f"this e-mail has no link, so no paragraph can begin with {BUTTON!r}.")
    if link and not buttons:
        last = len(path.read_text().splitlines())
        raise TemplateFault(path, last, f"one paragraph must begin with {BUTTON!r} and the label of the link.")
    for part in (content.text, content.html):
        if link and part.count(link) == 0:
            raise TemplateFault(
                path,
                buttons[0],
                "the link is not in the e-mail. Check the layout, and that the button is a paragraph of its own.",
            )


def _wrap(paragraph: str) -> str:
    return textwrap.fill(paragraph, LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


def _line(error: BaseException, path: Path) -> int | None:
    """Return the line of a template in which an error was raised."""
    traceback, line = error.__traceback__, None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
