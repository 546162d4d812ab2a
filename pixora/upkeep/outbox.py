"""The doctor's look at the letters: does the SMTP server take us, and does somebody send what is due."""

from collections.abc import Iterator
from datetime import timedelta

from config import Settings
from pixora import clock
from pixora.database.client import Database
from pixora.mail.failures import NotSent
from pixora.mail.sender import connection
from pixora.upkeep.findings import Finding, fault, ok, warning

LATE = timedelta(minutes=15)
MOST_COUNTED = 10_000


def smtp(settings: Settings) -> Iterator[Finding]:
    """Connect to the SMTP server and log in there, and send nothing."""
    if not settings.smtp_url:
        yield warning("There is no SMTP_URL: letters stay in the outbox.", "Set it, for people to verify and recover.")
        return
    try:
        with connection() as server:
            server.check()
    except NotSent as error:
        yield fault(
            f"The SMTP server cannot be used ({error.failure}).",
            "See host, port, user and password of SMTP_URL, and whether this system trusts its certificate.",
        )
    else:
        yield ok("The SMTP server takes us.")


def outbox(database: Database, settings: Settings) -> Iterator[Finding]:
    """Look for letters that should have been sent long ago."""
    late = {"letters": {"$elemMatch": {"due_at": {"$lte": clock.utcnow() - LATE}}}}
    with database.operation("upkeep.outbox"):
        number = database.collection("users").count_documents(late, limit=MOST_COUNTED)
    if not number:
        yield ok("No letter is late.")
        return
    told = f"Users with letters that are late: {'at least ' if number == MOST_COUNTED else ''}{number:,}."
    if settings.smtp_url:
        yield fault(told, "Run the sender, and see its log: flask --app wsgi mail send --watch")
    else:
        yield warning(told, "Without SMTP_URL they are never sent. See them with: flask --app wsgi mail show")
