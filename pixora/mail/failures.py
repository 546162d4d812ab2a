"""Classification of SMTP failures: whether to give up, try again later, or stop sending."""

import re
import smtplib
import ssl

AUTHENTICATION_CODES = (454, 530, 534, 535, 538)
"""RFC 4954: the server rejects us, whatever the message."""

CLOSING = 421
"""RFC 5321, section 3.8: the server closes the connection, whatever the command."""


class DeliveryFailure(Exception):
    """A message could not be handed over.

    `failure` is one word or the status codes of the server. Its text is not kept in the log or the database, because it
    usually quotes the e-mail address.
    """

    def __init__(self, failure: str) -> None:
        self.failure = failure
        super().__init__(failure)


class PermanentFailure(DeliveryFailure):
    """The server refuses this message for good."""


class TransientFailure(DeliveryFailure):
    """The server may accept this message later."""


class ServerUnavailable(DeliveryFailure):
    """The server is unreachable or rejects us, so no other message would succeed."""


def classify(error: smtplib.SMTPException | OSError) -> DeliveryFailure:
    """Return what an error of smtplib means for the message."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, text)] = error.recipients.values()
        return _classify_reply(code, text)
    if isinstance(error, smtplib.SMTPResponseException):
        is_transient = isinstance(error, smtplib.SMTPSenderRefused) and error.smtp_code // 100 == 4
        if is_transient or isinstance(error, smtplib.SMTPDataError):
            return _classify_reply(error.smtp_code, error.smtp_error)
        # The greeting, EHLO, login or MAIL FROM failed, which concerns every message.
        return ServerUnavailable(_codes(error.smtp_code, error.smtp_error))
    if isinstance(error, smtplib.SMTPNotSupportedError):
        is_message = "SMTPUTF8" in str(error)
        return PermanentFailure("smtputf8") if is_message else ServerUnavailable("not_supported")
    cause = error.__context__ or error  # smtplib reports a time-out as a disconnection
    kinds = {ssl.SSLError: "tls", TimeoutError: "timeout"}
    return ServerUnavailable(next((word for kind, word in kinds.items() if isinstance(cause, kind)), "connection"))


def _classify_reply(code: int, text: bytes | str) -> DeliveryFailure:
    failure = _codes(code, text)
    if code == CLOSING or code in AUTHENTICATION_CODES:
        return ServerUnavailable(failure)
    return PermanentFailure(failure) if code // 100 == 5 else TransientFailure(failure)


def _codes(code: int, text: bytes | str) -> str:
    """Return the status code of a reply, with the enhanced one (RFC 3463) if there is one."""
    decoded = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", decoded)
    return f"{code} {enhanced[0]}" if enhanced else str(code)
