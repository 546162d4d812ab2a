"""What every request and response has: an id, a size limit, security headers."""

import re
import secrets
import select
import socket
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from flask import Flask, Request, Response, current_app, g, request
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.routing import RequestRedirect

from pixora.errors import MalformedBody, PayloadTooLarge

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""OWASP REST Security Cheat Sheet, "Security Headers"."""

CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""The default; HTML pages set their own."""


class NoSession(SessionInterface):
    """No Flask session and so no cookie. Flask's own interface creates a signing serializer for each request."""

    session = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return a session that is read-only."""
        return self.session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Do nothing."""


def request_id() -> str:
    """Return the id of this request: a well-formed X-Request-ID of the client, or else a new one."""
    if "request_id" not in g:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    return str(g.request_id)


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


def make_redirect_relative() -> None:
    """Redirect to a path only, for example for two slashes in a row.

    Werkzeug repeats the Host header, which any client can forge, without the port of a proxy.
    """
    redirect = request.routing_exception
    if isinstance(redirect, RequestRedirect):
        redirect.new_url = urlunsplit(("", "", *urlsplit(redirect.new_url)[2:]))


def reject_large_body() -> None:
    """Check the size of the body whether or not the view reads it; raise `PayloadTooLarge` or `MalformedBody`.

    Werkzeug checks only when a view reads, and silently truncates a chunked body at the limit.
    """
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


def set_headers(response: Response) -> Response:
    """Add the security headers and the request id."""
    headers = response.headers
    headers.extend(HEADERS)
    headers.add("X-Request-ID", request_id())
    if "Content-Security-Policy" not in headers:
        headers.add("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    if request.path.startswith("/api/"):
        headers["Cache-Control"] = "no-store"
    return response
