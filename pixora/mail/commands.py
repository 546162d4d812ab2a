"""The `mail` commands: `flask --app wsgi mail …`."""

import json
import logging
import os
import signal
import sys
import threading
import time

import click

from pixora import clock
from pixora.accounts.outbox import TEMPLATES, Recipient
from pixora.cli import Group
from pixora.email_templates.catalogue import has_link
from pixora.errors import DatabaseUnavailable
from pixora.mail import listing, rendering
from pixora.mail.failures import ServerUnavailable
from pixora.mail.sender import Sender, connection
from pixora.services import services
from pixora.tokens.one_time import LIFETIMES, Purpose
from pixora.web import languages

log = logging.getLogger(__name__)

mail = Group("mail", help="Send and show the e-mails in the outbox.")

PREVIEW_EMAIL = "ada@example.com"

POLL_SECONDS = 1.0
LONGEST_POLL_SECONDS = 60.0
"""The time between two looks into the outbox. It doubles while the SMTP server or the database is unavailable."""

CLEAN_UP_SECONDS = 3600
REMOVE_PAUSES = (0.5, 1, 2, 4, 8)
"""The waits between the attempts, before the command ends, to remove sent e-mails from the outbox."""


@mail.command()
@click.option("--watch", is_flag=True, help="Keep running and look into the outbox every second.")
def send(watch: bool) -> None:
    """Send the e-mails that are due.

    You can run several senders at once. An e-mail that cannot be sent is tried 12 times within half a day.

    Exit status: 0, success; 1, an e-mail could not be sent and will not be tried again; 75, the SMTP server or the
    database is unavailable; 78, SMTP_URL is not set. SIGTERM and SIGINT stop the command after the current e-mail.
    """
    if not services.settings.smtp_url:
        click.echo("SMTP_URL is not set: e-mails stay in the outbox. To see them: flask --app wsgi mail show", err=True)
        sys.exit(os.EX_CONFIG)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with connection() as server:
        sender = Sender(server)
        status = _watch(sender, stopped) if watch else _send_once(sender, stopped)
        _remove_sent(sender)
    sys.exit(status)


@mail.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show(as_json: bool) -> None:
    """Print the e-mails in the outbox as they will be sent, oldest first.

    In production the tokens in links are hidden, because anybody who sees one could use it.

    Exit status: 0, success; 75, the database is unavailable.
    """
    now = clock.utcnow()
    shown = [written for claimed in services.outbox.list_emails() if (written := listing.describe(claimed, now))]
    if as_json:
        click.echo(json.dumps([{name: value for name, value in email.items() if name != "html"} for email in shown]))
        return
    for email in shown:
        click.echo(f"To: {email['to']}\nSubject: {email['subject']}\nState: {listing.state(email)}\n\n{email['text']}")
    click.echo(f"E-mails in the outbox: {len(shown)}." if shown else "The outbox is empty.")


@mail.command()
@click.argument("name", metavar="NAME", type=click.Choice(TEMPLATES))
@click.option("--language", metavar="TAG", help="The reader's language, as in de or de-AT; DEFAULT_LOCALE by default.")
@click.option("--html", "as_html", is_flag=True, help="Print the HTML part only, to open it in a browser.")
def preview(name: str, language: str | None, as_html: bool) -> None:
    """Print the e-mail NAME, for example verify_email, as a reader would get it, with made-up values. Send nothing.

    It needs no database. The first line says which template was used.

    Exit status: 0, success; 78, a template is faulty.
    """
    try:
        wanted = [languages.canonical(language)] if language else []
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--language") from error
    now = clock.utcnow()
    context = {"new_email": f"new.{PREVIEW_EMAIL}", "codes_left": "3", "few_codes_left": "yes"}
    email = services.outbox.compose(name, PREVIEW_EMAIL, now, **context)
    token, expires_at = ("preview", now + LIFETIMES[Purpose(name)]) if has_link(name) else (None, None)
    content = rendering.render(email, token, expires_at, Recipient(tuple(wanted), "Ada", "Lovelace"))
    if as_html:
        click.echo(content.html)
        return
    found = services.email_templates.find(name, wanted)
    owner = "Pixora's own" if found.is_ours else "from MAIL_TEMPLATES"
    click.echo(f"Template: {found.language}/{found.path.name}, {owner}")
    click.echo(f"To: {PREVIEW_EMAIL}\nSubject: {content.subject}\n\n{content.text}")


def _send_once(sender: Sender, stopped: threading.Event) -> int:
    try:
        _clean_up()
        outcomes = sender.send_all(stopped.is_set)
    except ServerUnavailable as error:
        _log_unavailable(error)
        return 1 if sender.given_up else os.EX_TEMPFAIL
    except DatabaseUnavailable:  # already logged
        return os.EX_TEMPFAIL
    numbers = {name: outcomes[name] for name in ("sent", "deferred", "given_up", "dropped")}
    log.info("Sent the e-mails that were due.", extra={"event": "mail_sent", **numbers})
    return 1 if sender.given_up else 0


def _clean_up() -> None:
    """Do the periodic work that no other process does."""
    now = clock.utcnow()
    services.outbox.delete_expired(now)
    services.one_time_tokens.delete_expired(now)
    services.erasure.complete_due(now)


def _watch(sender: Sender, stopped: threading.Event) -> int:
    pause, next_clean_up = POLL_SECONDS, 0.0
    log.info("Watching the outbox.", extra={"event": "mail_watch"})
    while not stopped.is_set():
        try:
            if time.monotonic() >= next_clean_up:
                _clean_up()
                next_clean_up = time.monotonic() + CLEAN_UP_SECONDS
            sender.send_all(stopped.is_set)
            pause = POLL_SECONDS
        except ServerUnavailable as error:
            _log_unavailable(error)
            pause = min(2 * pause, LONGEST_POLL_SECONDS)
        except DatabaseUnavailable:  # already logged
            pause = min(2 * pause, LONGEST_POLL_SECONDS)
        stopped.wait(pause)
    return 0


def _remove_sent(sender: Sender) -> None:
    for pause in REMOVE_PAUSES:
        if not sender.has_sent:
            return
        time.sleep(pause)
        try:
            sender.remove_sent()
        except DatabaseUnavailable:
            continue


def _log_unavailable(error: ServerUnavailable) -> None:
    log.error(
        "The SMTP server is unavailable or rejects us.",
        extra={"event": "smtp_unavailable", "failure": error.failure},
    )
