"""A real SMTP server for the tests, in a thread, which does as it is told."""

import asyncio
import contextlib
import email
import email.policy
import logging
from typing import NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

USER = "pixora@example.com"
PASSWORD = "pass word/with:reserved@characters%"


logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, which tells all


class Received(NamedTuple):
    sender: str
    recipient: str
    message: email.message.EmailMessage
    is_encrypted: bool
    user: str | None
    utf8: bool
    connection: tuple[str, int]


class Smtp:
    """Keeps what it has received. What it is told to do, it does from the next command on.

    Attributes:
        url: Where it is, in the clear.
        at_rcpt, at_data: An answer to give in the place of 250; or `die`, to break the connection; or `hang`.
            Or a function of the recipient that returns one of these, or None.
        after_data: Called, in the server's thread, when the letter was taken and the answer has not been sent.

    """

    def __init__(self, url):
        self.url = url
        self.received = []
        self.at_rcpt = None
        self.at_data = None
        self.after_data = None
        self.offered = 0

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  # aiosmtpd's
        self.offered += 1
        if answer := await self._do(self.at_rcpt, server, address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  # aiosmtpd's
        [recipient] = envelope.rcpt_tos
        if answer := await self._do(self.at_data, server, recipient):
            return answer
        content = envelope.original_content
        self.received.append(
            Received(
                envelope.mail_from,
                recipient,
                email.message_from_bytes(content, policy=email.policy.default),
                server.transport.get_extra_info("sslcontext") is not None,
                session.auth_data and session.auth_data.decode(),
                envelope.smtp_utf8,
                session.peer,
            )
        )
        if self.after_data:
            self.after_data()
        return "250 2.0.0 taken"

    async def _do(self, what, server, recipient):
        if callable(what):
            what = what(recipient)
        if what == "die":
            server.transport.abort()
            return "421 gone"
        if what == "hang":
            await asyncio.sleep(3600)
        if what == "drip":  # says a little again and again, and never comes to an end
            while True:
                server._writer.write(b"250-still thinking\r\n")
                await asyncio.sleep(0.05)
        return what


def authenticate(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False, auth_data=data.login)


class _Quiet(Controller):
    """aiosmtpd's, in a thread, which leaves nothing behind."""

    def _run(self, ready_event):
        with contextlib.suppress(asyncio.CancelledError):
            super()._run(ready_event)


@contextlib.contextmanager
def running(port, *, starttls=None, tls=None, login=False, utf8=True):
    """Run a server on a port of the loopback.

    Args:
        port: A free one.
        starttls: An SSL context, to offer STARTTLS with and insist on it.
        tls: An SSL context, to speak TLS from the beginning.
        login: Insist on `USER` and `PASSWORD`.
        utf8: Offer SMTPUTF8.

    """
    smtp = Smtp(f"smtp://127.0.0.1:{port}")
    controller = _Quiet(
        smtp,
        hostname="127.0.0.1",
        port=port,
        tls_context=starttls,
        require_starttls=starttls is not None,
        ssl_context=tls,
        authenticator=authenticate,
        # It does not know, and warns, that with TLS from the beginning a login is safe.
        auth_required=login and tls is None,
        auth_require_tls=tls is None,
        enable_SMTPUTF8=utf8,
    )
    controller.start()
    try:
        yield smtp
    finally:
        controller.stop(no_assert=True)
