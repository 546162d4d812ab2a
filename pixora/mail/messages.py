"""E-mails as RFC 5322 messages, ready for SMTP."""

from email.message import EmailMessage
from email.policy import SMTP

from pixora.accounts.documents import Email
from pixora.email_templates.rendering import Content
from pixora.mail.identity import ascii_address, sender_address


def build(email: Email, content: Content) -> EmailMessage:
    """Return the message for an e-mail. Its Message-ID never changes, so receivers can recognise a duplicate.

    Raises:
        ValueError: The recipient is not an address.

    """
    sender = sender_address()
    message = EmailMessage(policy=SMTP)  # refuses line breaks in headers and encodes all but ASCII
    message["From"] = sender
    message["To"] = ascii_address(email["to"])
    message["Subject"] = content.subject
    message["Date"] = email["created_at"]
    message["Message-ID"] = f"<{email['id']}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic replies
    # Some servers do not accept 8bit.
    message.set_content(content.text, cte="quoted-printable")
    message.add_alternative(content.html, subtype="html", cte="quoted-printable")
    return message
