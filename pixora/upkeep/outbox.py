"""The doctor's checks of e-mail: the SMTP server accepts our login, and due e-mails are sent."""

from collections.abc import Iterator
from datetime import timedelta

from config import Settings
from pixora import clock
from pixora.accounts.outbox import MAX_LATE, Outbox
from pixora.mail.failures import DeliveryFailure
from pixora.mail.sender import connection
from pixora.upkeep.findings import Finding, fault, ok, warning

LATE = timedelta(minutes=15)


def smtp(settings: Settings) -> Iterator[Finding]:
    """Connect and log in to the SMTP server, without sending anything."""
    if not settings.smtp_url:
        yield warning(
            "SMTP_URL is not set: e-mails stay in the outbox.",
            "Set it, so that users can verify their address and reset their password.",
        )
        return
    try:
        with connection() as server:
            server.check()
    except DeliveryFailure as error:
        yield fault(
            f"The SMTP server cannot be used ({error.failure}).",
            "Check host, port, user and password in SMTP_URL, and whether this system trusts the server's certificate.",
        )
    else:
        yield ok("The SMTP server accepts our login.")


def late_emails(outbox: Outbox, settings: Settings) -> Iterator[Finding]:
    """Look for e-mails that should have been sent long ago."""
    number = outbox.count_late(clock.utcnow() - LATE)
    if not number:
        yield ok("No e-mail is overdue.")
        return
    message = f"Users with overdue e-mails: {'at least ' if number == MAX_LATE else ''}{number:,}."
    if settings.smtp_url:
        yield fault(message, "Run the sender and check its log: flask --app wsgi mail send --watch")
    else:
        yield warning(message, "Without SMTP_URL they are never sent. Print them with: flask --app wsgi mail show")
