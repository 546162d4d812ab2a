"""The commands: ``flask --app wsgi mail …``."""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from datetime import datetime
from typing import Any

import click

from pixora import clock
from pixora.accounts.outbox import Claimed, UnreadableToken
from pixora.cli import Group
from pixora.errors import DatabaseUnavailable
from pixora.mail import rendering
from pixora.mail.failures import Unavailable
from pixora.mail.links import Obsolete, link_of
from pixora.mail.sender import Sender, connection
from pixora.services import services

log = logging.getLogger(__name__)

mail = Group("mail", help="The letters in the outbox.")

POLL_SECONDS = 1.0
LONGEST_POLL_SECONDS = 60.0
"""Between two looks into the outbox: most of the time; and, reached by and by, while the server or database is away."""

CLEAR_SECONDS = 3600
NOTE_PAUSES = (0.5, 1, 2, 4, 8)
"""How often, before it ends, a sender tries to note what it has sent, and how long it waits in between."""


@mail.command()
@click.option("--watch", is_flag=True, help="Go on, looking into the outbox every second, until told to stop.")
def send(watch: bool) -> None:  # noqa: FBT001  # click's flag
    """Send the letters that are due.

    Any number of senders may run at once. What cannot be sent is tried again, 12 times in half a day.

    The exit status is 0 when all went well, 1 when a letter was given up, 75 when the SMTP server or the database is
    away, and 78 when there is no SMTP_URL. SIGTERM and SIGINT end it after the letter at hand.
    """
    if not services.settings.smtp_url:
        click.echo("There is no SMTP_URL: letters stay in the outbox. See: flask --app wsgi mail show", err=True)
        sys.exit(os.EX_CONFIG)
    stopped = threading.Event()
    for stopping in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stopping, lambda number, frame: stopped.set())
    with connection() as server:
        sender = Sender(server)
        status = _watch(sender, stopped) if watch else _send_once(sender, stopped)
        _note_the_last(sender)
    sys.exit(status)


@mail.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show(as_json: bool) -> None:  # noqa: FBT001  # click's flag
    """Print the letters in the outbox as they will be sent, the oldest first.

    In production the link is left out: whoever reads it could use it.

    The exit status is 0, or 75 when the database is away.
    """
    now = clock.utcnow()
    shown = [written for claimed in services.outbox.list_emails() if (written := _shown(claimed, now))]
    if as_json:
        click.echo(json.dumps(shown))
        return
    for letter in shown:
        click.echo(f"To: {letter['to']}\nSubject: {letter['subject']}\nState: {_state(letter)}\n\n{letter['text']}")
    click.echo(f"{len(shown)} in the outbox." if shown else "The outbox is empty.")


def _send_once(sender: Sender, stopped: threading.Event) -> int:
    try:
        _clear()
        outcomes = sender.send_all(stopped.is_set)
    except Unavailable as error:
        _log_away(error)
        return 1 if sender.given_up else os.EX_TEMPFAIL
    except DatabaseUnavailable:  # which is logged
        return os.EX_TEMPFAIL
    log.info("The outbox has been looked through.", extra={"event": "mail_sent", **_numbers(outcomes)})
    return 1 if sender.given_up else 0


def _clear() -> None:
    """See to what is due at times, and has nobody else to do it."""
    now = clock.utcnow()
    services.outbox.delete_expired(now)
    services.one_time_tokens.delete_expired(now)
    services.erasure.complete_due(now)


def _watch(sender: Sender, stopped: threading.Event) -> int:
    pause, next_clear = POLL_SECONDS, 0.0
    log.info("Watching the outbox.", extra={"event": "mail_watch"})
    while not stopped.is_set():
        try:
            if time.monotonic() >= next_clear:
                _clear()
                next_clear = time.monotonic() + CLEAR_SECONDS
            sender.send_all(stopped.is_set)
            pause = POLL_SECONDS
        except Unavailable as error:
            _log_away(error)
            pause = min(2 * pause, LONGEST_POLL_SECONDS)
        except DatabaseUnavailable:  # which is logged
            pause = min(2 * pause, LONGEST_POLL_SECONDS)
        stopped.wait(pause)
    return 0


def _note_the_last(sender: Sender) -> None:
    for pause in NOTE_PAUSES:
        if not sender.has_to_note:
            return
        time.sleep(pause)
        try:
            sender.note()
        except DatabaseUnavailable:
            continue


def _log_away(error: Unavailable) -> None:
    log.error(
        "The SMTP server is not available, or does not want us.",
        extra={"event": "smtp_unavailable", "failure": error.failure},
    )


def _numbers(outcomes: Counter[str]) -> dict[str, int]:
    return {name: outcomes[name] for name in ("sent", "put_off", "given_up", "dropped")}


def _shown(claimed: Claimed, now: datetime) -> dict[str, Any] | None:
    """Return what is shown of a letter; None when it will not be sent, its link being good no longer."""
    letter = claimed.email
    try:
        token, expires_at = link_of(claimed, now)
    except Obsolete:
        return None
    except UnreadableToken:
        token, expires_at = "(encrypted-under-another-SECRET_KEY)", now
    if token is not None and services.settings.pixora_env == "production":
        token = "(hidden)"  # noqa: S105  # which is the point
    content = rendering.render(letter, token, expires_at)
    return {
        "id": letter["id"],
        "user_id": claimed.user_id,
        "template": letter["template"],
        "to": letter["to"],
        "subject": content.subject,
        "text": content.text,
        "link": content.link,
        "created_at": letter["created_at"].isoformat(),
        "due_at": letter["due_at"] and letter["due_at"].isoformat(),
        "attempts": letter["attempts"],
        "failure": letter.get("failure"),
        "given_up": "given_up_at" in letter,
    }


def _state(letter: dict[str, Any]) -> str:
    if letter["given_up"]:
        return f"given up after {letter['attempts']} attempts ({letter['failure']})"
    if letter["failure"]:
        return f"attempt {letter['attempts']} failed ({letter['failure']}), the next one is at {letter['due_at']}"
    return "waiting to be sent"
