"""Connections to the SMTP server of `SMTP_URL`, with `smtplib`. Every operation has a deadline."""

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

from pixora.mail.failures import ServerUnavailable, classify

OPERATION_SECONDS = 10
"""The limit to connect, and for each reply of the server."""

MESSAGE_SECONDS = 60
"""The limit for one message, connecting included: a server that replies byte by byte must not hold us for ever."""


class Server(NamedTuple):
    """The parts of `SMTP_URL`, which `config.py` has validated. `tls` is `immediate`, `starttls` or `none`."""

    host: str
    port: int
    user: str
    password: str
    tls: str

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Parse an `SMTP_URL`."""
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
    """A connection that opens with the first message, is reused, and is opened again when it breaks.

    `name` is our name in EHLO. It avoids a DNS look-up that could hang, and does not reveal the name of the machine.
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
        """End the connection, politely if possible."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError), _deadline(client, OPERATION_SECONDS):
                client.quit()
            client.close()

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Hand a message over. When this returns, the server has accepted it.

        Raises:
            DeliveryFailure: It has not; after a time-out, it may have.

        """
        try:
            with self._connected() as client:
                client.send_message(message, message["From"].addresses[0].addr_spec, recipient)
        except (smtplib.SMTPException, OSError) as error:
            failure = classify(error)
            if isinstance(failure, ServerUnavailable):
                self._drop()
            raise failure from error

    def check(self) -> None:
        """Connect and log in without sending anything; raise `DeliveryFailure` if the server cannot be used."""
        try:
            with self._connected():
                pass
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise classify(error) from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        if self._client is not None and not _is_alive(self._client):  # servers limit the messages of one connection
            self._drop()
        if self._client is not None:
            with _deadline(self._client, MESSAGE_SECONDS):
                yield self._client
            return
        kind = _Encrypted if self._server.tls == "immediate" else _Plain
        self._client = kind(self._server.host, self._name)
        with _deadline(self._client, MESSAGE_SECONDS):
            _open(self._client, self._server)
            yield self._client

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class _Plain(smtplib.SMTP):
    def __init__(self, host: str, name: str) -> None:
        super().__init__(local_hostname=name, timeout=OPERATION_SECONDS)
        self._host = host  # STARTTLS checks it; smtplib sets it only if the constructor connects


class _Encrypted(smtplib.SMTP_SSL):
    def __init__(self, host: str, name: str) -> None:
        super().__init__(local_hostname=name, timeout=OPERATION_SECONDS, context=_tls_context())
        self._host = host


def _tls_context() -> ssl.SSLContext:
    """Return Python's defaults, with TLS 1.2 or later (RFC 8996): some builds leave the version to OpenSSL."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _open(client: smtplib.SMTP, server: Server) -> None:
    code, _ = client.connect(server.host, server.port)
    if code != 220:
        raise smtplib.SMTPConnectError(code, "")
    if server.tls == "starttls":
        client.starttls(context=_tls_context())  # raises if the server does not offer it
    if server.user:
        client.login(server.user, server.password)


def _is_alive(client: smtplib.SMTP) -> bool:
    try:
        with _deadline(client, OPERATION_SECONDS):
            return client.noop()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False


@contextlib.contextmanager
def _deadline(client: smtplib.SMTP, seconds: float) -> Iterator[None]:
    """Shut the connection down when the block takes longer, so that waiting for the server fails."""

    def cut() -> None:
        if client.sock is not None:
            with contextlib.suppress(OSError):
                # Not the TLS socket's own method, which removes state that the waiting thread needs.
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
    """Return whether a host is this machine, so that nobody can listen in between."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
