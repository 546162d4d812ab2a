"""Handing messages to the SMTP server that `SMTP_URL` names, by the standard library, everything with a deadline."""

import contextlib
import ipaddress
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pixora.mail.failures import Unavailable, reason

OPERATION_SECONDS = 10
"""To connect, and for each answer of the server."""

LETTER_SECONDS = 60
"""For all of one letter, connecting included: a server that keeps saying a little must not keep us for ever."""


class Server(NamedTuple):
    """What `SMTP_URL` says; `config.py` has checked it."""

    host: str
    port: int
    user: str
    password: str
    tls: str

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Take an `SMTP_URL` apart. `tls` is `immediate`, `starttls` or `none`."""
        parts = urlsplit(url)
        default_port = 465 if parts.scheme == "smtps" else 587  # RFC 8314, section 3.3; RFC 6409, section 3.1
        return cls(
            parts.hostname or "",
            parts.port or default_port,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            _tls(parts),
        )


class Connection:
    """A connection to the server, made for the first letter, kept for the next, and made anew when it breaks.

    Args:
        server: To connect to.
        name: What we say we are, in EHLO: no look-up in the DNS that could hang, and no name of an inner machine.

    """

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name
        self._client: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take leave of the server, if it is still there."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError), _deadline(client, OPERATION_SECONDS):
                client.quit()
            client.close()

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Hand a message over. When this returns, the server has it.

        Raises:
            Refused, PutOff, Unavailable: it has not; or, after a time-out, it may have.

        """
        try:
            with self._connected() as client:
                client.send_message(message, message["From"].addresses[0].addr_spec, recipient)
        except (smtplib.SMTPException, OSError) as error:
            why = reason(error)
            if isinstance(why, Unavailable):
                self._drop()
            raise why from error

    def check(self) -> None:
        """Connect and log in, and hand nothing over.

        Raises:
            Refused, PutOff, Unavailable: as `send`, mostly the last.

        """
        try:
            with self._connected():
                pass
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise reason(error) from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        if self._client is not None and not _is_there(self._client):  # servers limit the letters of one connection
            self._drop()
        if self._client is not None:
            with _deadline(self._client, LETTER_SECONDS):
                yield self._client
            return
        kind = _Encrypted if self._server.tls == "immediate" else _Plain
        self._client = kind(self._server.host, self._name)
        with _deadline(self._client, LETTER_SECONDS):
            _open(self._client, self._server)
            yield self._client

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class _Plain(smtplib.SMTP):
    def __init__(self, host: str, name: str) -> None:
        super().__init__(local_hostname=name, timeout=OPERATION_SECONDS)
        self._host = host  # for STARTTLS to check; smtplib sets it only when it connects while it is made


class _Encrypted(smtplib.SMTP_SSL):
    def __init__(self, host: str, name: str) -> None:
        super().__init__(local_hostname=name, timeout=OPERATION_SECONDS, context=ssl.create_default_context())
        self._host = host


def _open(client: smtplib.SMTP, server: Server) -> None:
    code, _ = client.connect(server.host, server.port)
    if code != 220:
        raise smtplib.SMTPConnectError(code, "")
    if server.tls == "starttls":
        client.starttls(context=ssl.create_default_context())  # raises where it is not offered
    if server.user:
        client.login(server.user, server.password)


def _is_there(client: smtplib.SMTP) -> bool:
    try:
        with _deadline(client, OPERATION_SECONDS):
            return client.noop()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False


@contextlib.contextmanager
def _deadline(client: smtplib.SMTP, seconds: float) -> Iterator[None]:
    """Break the connection when the block takes longer: whatever waits for the server then gets an error."""

    def cut() -> None:
        if client.sock is not None:
            with contextlib.suppress(OSError):
                # Not the TLS socket's own, which takes its state away from under the thread that waits.
                socket.socket.shutdown(client.sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tls(parts: SplitResult) -> str:
    if parts.scheme == "smtps":
        return "immediate"
    default = "never" if is_loopback(parts.hostname or "") else "always"
    [choice] = parse_qs(parts.query).get("starttls", [default])
    return "none" if choice == "never" else "starttls"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, to which nobody can listen in between."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
