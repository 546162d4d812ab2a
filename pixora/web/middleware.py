"""What holds for every request and response: its id, its size, its headers."""

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
"""For all but a page that sets its own."""


class NoSession(SessionInterface):
    """No session, and so no cookie. Flask's own makes a serializer that signs, for each request, wanted or not."""

    session = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return a session that cannot be written to."""
        return self.session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Do nothing."""


def init_app(app: Flask) -> None:
    """Apply the rules of this module to `app`."""
    app.session_interface = NoSession()
    app.before_request(_redirect_to_a_path)
    app.before_request(_refuse_large_body)
    app.after_request(_set_headers)


def request_id() -> str:
    """Return the id of this request: the client's X-Request-ID where it is harmless, else a new one."""
    if "request_id" not in g:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    return str(g.request_id)


def caller() -> Callable[[], bool]:
    """Return a function, for use in any thread, that tells whether the caller still waits for the answer.

    A client may close its sending side and still read: nothing in TCP tells it from one that has left, until something
    is sent to it. So on a connection of its own a client has left only when the connection is reset. A proxy closes its
    connection to us when its client has left, and never only one side of it; behind one, the end of what is sent is
    enough.
    """
    connection = request.environ.get("gunicorn.socket")
    gone = select.POLLERR | select.POLLHUP
    if current_app.config["PROXY_COUNT"] and "X-Forwarded-For" in request.headers:
        gone |= getattr(select, "POLLRDHUP", 0)  # of Linux

    def is_waiting() -> bool:
        if not isinstance(connection, socket.socket):
            return True
        poll = select.poll()
        try:
            poll.register(connection, gone)
        except ValueError:
            return False  # closed at our end
        return not any(state & (gone | select.POLLNVAL) for _, state in poll.poll(0))

    return is_waiting


def _redirect_to_a_path() -> None:
    # As for two slashes in a row. Werkzeug would repeat the Host header, which anyone can make up, without the port
    # that a proxy in front may have.
    redirect = request.routing_exception
    if isinstance(redirect, RequestRedirect):
        redirect.new_url = urlunsplit(("", "", *urlsplit(redirect.new_url)[2:]))


def _refuse_large_body() -> None:
    # Werkzeug looks at the length only when a view reads the body, and not every view does. A body that comes in
    # chunks, without a length, it cuts off at the limit without a word: the rest of it would be ignored.
    limit: int = current_app.config["MAX_CONTENT_LENGTH"]
    length = request.content_length
    if length is None and "Transfer-Encoding" in request.headers:
        request.max_content_length = limit + 1
        try:
            length = len(request.get_data())
        except Exception as error:  # each server has its own, for chunks that are not well formed
            raise MalformedBody from error
    if length is not None and length > limit:
        raise PayloadTooLarge


def _set_headers(response: Response) -> Response:
    headers = response.headers
    headers.extend(HEADERS)
    headers.add("X-Request-ID", request_id())
    if "Content-Security-Policy" not in headers:
        headers.add("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    if request.path.startswith("/api/"):
        headers["Cache-Control"] = "no-store"
    return response
