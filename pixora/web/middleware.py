"""What every request and response has: an id, a size limit, security headers."""

import random
import re
import select
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, current_app, request
from flask.sessions import NullSession, SessionInterface, SessionMixin

from pixora.errors import MalformedBody, PayloadTooLarge
from pixora.web.application import current

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

REQUEST_ID_KEY = "pixora.request_id"
"""The key of the request id in the WSGI environment."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""OWASP REST Security Cheat Sheet, "Security Headers"."""

CONTENT_SECURITY_POLICY = "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"
"""The default; HTML pages set their own."""

NO_STORE = "Cache-Control", "no-store"


class NoSession(SessionInterface):
    """No Flask session and so no cookie. Flask's own interface creates a signing serializer for each request."""

    session = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return a session that is read-only."""
        return self.session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Do nothing."""


class ResponseHeaders:
    """WSGI middleware that adds the security headers and the request id to every response.

    Flask's `after_request` would take several times the CPU: Werkzeug checks and copies each header more than once.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app
        self._headers = list(HEADERS.items())

    def __call__(self, environment: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle a request."""

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            names = [name for name, _ in headers]
            if environment.get("PATH_INFO", "").lstrip("/").startswith("api/"):
                if "Cache-Control" in names:
                    headers = [header for header in headers if header[0] != "Cache-Control"]
                headers.append(NO_STORE)
            if "Content-Security-Policy" not in names:
                headers.append(CONTENT_SECURITY_POLICY)
            return start_response(status, [*headers, *self._headers, ("X-Request-ID", id_of(environment))], *error)

        return self._app(environment, start)


def request_id() -> str:
    """Return the id of the current request, see `id_of`."""
    return id_of(request.environ)


def id_of(environment: "WSGIEnvironment") -> str:
    """Return the id of a request: a well-formed X-Request-ID of the client, or else a new one."""
    known: str | None = environment.get(REQUEST_ID_KEY)
    if known is None:
        given = environment.get("HTTP_X_REQUEST_ID", "")
        known = environment[REQUEST_ID_KEY] = given if REQUEST_ID.fullmatch(given) else new_request_id()
    return known


def new_request_id() -> str:
    """Return 32 hexadecimal digits. They are no secret, and the system's randomness takes a system call."""
    return f"{random.getrandbits(128):032x}"


def caller() -> Callable[[], bool]:
    """Return a function that tells, in any thread, whether the client still waits for the answer.

    A direct client may close its sending side and still read, so only a reset shows that it has left. A proxy closes
    its whole connection when its client leaves, so behind one the end of the stream is enough.
    """
    connection = request.environ.get("gunicorn.socket")
    gone = select.POLLERR | select.POLLHUP
    if current_app.config["PROXY_COUNT"] and "X-Forwarded-For" in request.headers:
        gone |= getattr(select, "POLLRDHUP", 0)  # Linux only

    def is_waiting() -> bool:
        if not isinstance(connection, socket.socket):
            return True
        poll = select.poll()
        try:
            poll.register(connection, gone)
        except ValueError:
            return False  # we have closed it
        return not any(state & (gone | select.POLLNVAL) for _, state in poll.poll(0))

    return is_waiting


def reject_large_body() -> None:
    """Check the size of the body whether or not the view reads it; raise `PayloadTooLarge` or `MalformedBody`.

    Werkzeug checks only when a view reads, and silently truncates a chunked body at the limit.
    """
    environment = current(request).environ
    if not environment.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in environment:
        return
    limit: int = current_app.config["MAX_CONTENT_LENGTH"]
    length = request.content_length
    if length is None and "Transfer-Encoding" in request.headers:
        request.max_content_length = limit + 1
        try:
            length = len(request.get_data())
        except Exception as error:  # each server has its own exceptions for malformed chunks
            raise MalformedBody from error
    if length is not None and length > limit:
        raise PayloadTooLarge
