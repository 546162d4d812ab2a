"""Rendering of e-mails: one template for both text and HTML.

A template is plain text: the subject in the first line, then paragraphs separated by empty lines. The paragraph that
begins with `->` is the link and the label of its button.

E-mails never contain names or other text that a stranger could have typed: a sign-up with somebody else's address and
the name "You have won, see evil.example" would send spam in our name. The notices to an old address contain the new
one, which was given with the password, but only if the old one is verified: else it too may be a stranger's.
"""

import re
import textwrap
from datetime import datetime, timedelta
from typing import NamedTuple

from flask import render_template

from pixora.accounts.documents import Email
from pixora.mail.identity import public_url, service_name

LINE_LENGTH = 72

LINK_PATHS = {"verify_email": "/verify-email", "reset_password": "/reset-password", "change_email": "/confirm-email"}
"""The page of each template's link. The purpose of the token in it has the name of the template."""

NEW_LINK_PATH = "/verify-email/again"
"""The page that sends a new link to verify an e-mail address."""


class Content(NamedTuple):
    """The rendered parts of an e-mail. `link`, if there is one, is also in `text` and `html`."""

    subject: str
    text: str
    html: str
    link: str | None


def render(email: Email, token: str | None, expires_at: datetime | None) -> Content:
    """Render an e-mail of the outbox, with the one-time token for its link."""
    link = None if token is None else f"{public_url()}{LINK_PATHS[email['template']]}?token={token}"
    service = service_name()
    # A .txt template does not escape values. The HTML layout escapes the whole text.
    rendered = render_template(
        f"mail/{email['template']}.txt",
        service=service,
        when=_format_time(email["created_at"]),
        until=expires_at and _format_time(expires_at),
        lasts=expires_at and _format_duration(expires_at - email["created_at"]),
        new_link_url=f"{public_url()}{NEW_LINK_PATH}",
        **email["context"],
    )
    subject, *paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", rendered.strip())]
    parts = [
        {"is_link": part.startswith("-> "), "words": part.removeprefix("-> "), "lines": _wrap(part)}
        for part in paragraphs
    ]
    layout = {"subject": subject, "parts": parts, "link": link, "service": service}
    text = render_template("mail/layout.txt", **layout)
    return Content(subject, text, render_template("mail/layout.html", **layout), link)


def _wrap(paragraph: str) -> str:
    return textwrap.fill(paragraph, LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


def _format_time(time: datetime) -> str:
    return f"{time.day} {time:%B %Y}, {time:%H:%M} UTC"


def _format_duration(duration: timedelta) -> str:
    minutes = round(duration.total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
