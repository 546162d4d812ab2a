"""What a letter says: the template's paragraphs, set as text and as HTML, so that both say the same.

A template is plain text: the subject in its first line, then paragraphs with an empty line between. The one that
begins with `->` stands for the link; it is what the button says.

No letter calls anybody by name, nor quotes what else a stranger could have typed: with a name like "You have won, see
evil.example", whoever signs up with your address would send you letters in our name. The new address, in those to the
old one, was given with the password; and an old one that is not verified, which may be a stranger's, is not told it.
"""

import re
import textwrap
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from flask import render_template

from pixora.database.client import Document
from pixora.mail.addresses import sender
from pixora.services import services

LINE_LENGTH = 72

VERIFY_AGAIN = "/verify-email/again"
"""Where a new link to verify an address is to be had."""

PAGES = {"verify_email": "/verify-email", "reset_password": "/reset-password", "change_email": "/confirm-email"}
"""Where the link of a letter goes. The purpose of the token in it has the name of the letter's template."""

DEVELOPMENT_URL = "http://127.0.0.1:8000"
"""Where `script/server` answers. Production has `PUBLIC_URL`, before it sends anything."""


class Content(NamedTuple):
    """A letter written out. `link` is in both `text` and `html`, where there is one."""

    subject: str
    text: str
    html: str
    link: str | None


def render(letter: Document, token: str | None, expires_at: datetime | None) -> Content:
    """Write a letter out.

    Args:
        letter: From the outbox.
        token: For its link, in clear.
        expires_at: Until when the token is good.

    """
    link = None if token is None else f"{_public_url()}{PAGES[letter['template']]}?token={token}"
    # .txt: not escaped here. What is put in is escaped with all the rest when the layout sets it as HTML.
    written = render_template(
        f"mail/{letter['template']}.txt",
        service=service_name(),
        when=_moment(letter["created_at"]),
        until=expires_at and _moment(expires_at),
        lasts=expires_at and _duration(expires_at - letter["created_at"]),
        verify_again=f"{_public_url()}{VERIFY_AGAIN}",
        **letter["context"],
    )
    subject, *paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", written.strip())]
    parts = [
        {"is_link": part.startswith("-> "), "words": part.removeprefix("-> "), "lines": _wrap(part)}
        for part in paragraphs
    ]
    layout = {"subject": subject, "parts": parts, "link": link, "service": service_name()}
    return Content(
        subject, render_template("mail/layout.txt", **layout), render_template("mail/layout.html", **layout), link
    )


def service_name() -> str:
    """Return what to call this service in letters and on pages: the name in `MAIL_FROM`, or else the host."""
    return sender().display_name or urlsplit(_public_url()).hostname or "Pixora"


def _public_url() -> str:
    return services.settings.public_url or DEVELOPMENT_URL


def _wrap(paragraph: str) -> str:
    return textwrap.fill(paragraph, LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


def _moment(time: datetime) -> str:
    return f"{time.day} {time:%B %Y}, {time:%H:%M} UTC"


def _duration(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
