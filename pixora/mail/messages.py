"""Letters as messages by RFC 5322, ready for SMTP."""

from email.message import EmailMessage
from email.policy import SMTP

from pixora.database.client import Document
from pixora.mail.addresses import sender, transportable
from pixora.mail.rendering import Content


def build(letter: Document, content: Content) -> EmailMessage:
    """Return the message of a letter. Built again, it has the same Message-ID: receivers can tell a duplicate.

    Raises:
        ValueError: The letter's address is none.

    """
    origin = sender()
    message = EmailMessage(policy=SMTP)
    # Header fields by the standard library's policy: it refuses line breaks, and encodes what is not ASCII.
    message["From"] = origin
    message["To"] = transportable(letter["to"])
    message["Subject"] = content.subject
    message["Date"] = letter["created_at"]
    message["Message-ID"] = f"<{letter['id']}@{origin.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: answering machines keep still
    # Not 8bit, which some servers do not take.
    message.set_content(content.text, cte="quoted-printable")
    message.add_alternative(content.html, subtype="html", cte="quoted-printable")
    return message
