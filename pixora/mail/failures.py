"""Why a letter could not be handed over, and whether it is worth trying again."""

import re
import smtplib
import ssl

AUTHENTICATION_CODES = (454, 530, 534, 535, 538)
"""RFC 4954: the server does not want us, whatever the letter."""

CLOSING = 421
"""RFC 5321, section 3.8: the server ends the connection, whatever it was asked."""


class NotSent(Exception):
    """A letter could not be handed over.

    `failure` says why in a word or by the server's status codes. What the server says in words is kept from the log and
    the database: it mostly quotes the address.
    """

    def __init__(self, failure: str) -> None:
        self.failure = failure
        super().__init__(failure)


class Refused(NotSent):
    """The server will not take this letter, now or later."""


class PutOff(NotSent):
    """The server does not take this letter now."""


class Unavailable(NotSent):
    """The server is away, or does not want us: no other letter would fare better."""


def reason(error: smtplib.SMTPException | OSError) -> NotSent:
    """Return what an error of smtplib's means for the letter: `Refused`, `PutOff` or `Unavailable`."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, text)] = error.recipients.values()
        return _verdict(code, text)
    if isinstance(error, smtplib.SMTPResponseException):
        is_later = isinstance(error, smtplib.SMTPSenderRefused) and error.smtp_code // 100 == 4
        if is_later or isinstance(error, smtplib.SMTPDataError):
            return _verdict(error.smtp_code, error.smtp_error)
        return Unavailable(_codes(error.smtp_code, error.smtp_error))  # greeting, EHLO, login, MAIL_FROM: of no letter
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Refused("smtputf8") if "SMTPUTF8" in str(error) else Unavailable("not_supported")
    cause = error.__context__ or error  # smtplib says of a time-out that the server has disconnected
    kinds = {ssl.SSLError: "tls", TimeoutError: "timeout"}
    return Unavailable(next((word for kind, word in kinds.items() if isinstance(cause, kind)), "connection"))


def _verdict(code: int, text: bytes | str) -> NotSent:
    failure = _codes(code, text)
    if code == CLOSING or code in AUTHENTICATION_CODES:
        return Unavailable(failure)
    return Refused(failure) if code // 100 == 5 else PutOff(failure)


def _codes(code: int, text: bytes | str) -> str:
    """Return the codes of an answer, the enhanced one too (RFC 3463)."""
    words = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", words)
    return f"{code} {enhanced[0]}" if enhanced else str(code)
