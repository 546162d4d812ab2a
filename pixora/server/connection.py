"""One client: what it has sent, what it is still to get, and how long it may take."""

import socket
import struct
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from pixora.server.answering import Answer, Application
from pixora.server.bodies import Refused
from pixora.server.reading import Limits, Reader, Request
from pixora.server.refusals import refusal

HEAD_SECONDS = 10
"""For the head of a request, from its first byte, and of a new connection for that byte."""

BODY_SECONDS, BODY_PAUSE_SECONDS = 30, 10
"""For the body, and between two parts of it."""

ANSWER_SECONDS, ANSWER_PAUSE_SECONDS = 120, 10
"""For the client to take in an answer, and between two parts of it."""

DRAIN_SECONDS = 2
"""For the client to close, after an answer that ends the connection: what it sends meanwhile is thrown away. To close
at once would reset the connection, and the answer might be lost (RFC 9112, 9.6)."""

LINGER_SECONDS = 0.02
"""For the next request, while a thread waits for it."""

SIZE = 16_384
"""Bytes to read at once."""

NEW, IDLE, HEAD, BODY, RUNNING, WRITING, DRAINING = range(7)


class Connection:
    """A connection to a client. Only its owner calls it: the poller or one thread.

    Args:
        client: The socket.
        address: The client's, empty where there is none.
        base: What is in the WSGI environment of all its requests.
        limits: Of its requests.

    """

    def __init__(self, client: socket.socket, address: str, base: dict[str, Any], limits: Limits) -> None:
        self.client = client
        self.address = address
        self.state = NEW
        self._since = self._began = time.monotonic()  # when a client did something, and when it began with it
        self._reader = Reader(base, limits)
        self._request: Request | None = None
        self._refused: Refused | None = None
        self._answer: Answer | None = None
        self._pieces: Iterator[bytes] | None = None
        self._out: bytes | memoryview = b""
        client.setblocking(True)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(LINGER_SECONDS * 1e6)))

    def fileno(self) -> int:
        """Return the descriptor, for the poller."""
        return self.client.fileno()

    def receive(self, flags: int = socket.MSG_DONTWAIT) -> bool:
        """Read what has come, for `LINGER_SECONDS` at most without flags; return whether there is a request to answer.

        Raises:
            OSError: the client is gone.

        """
        try:
            data = self.client.recv(SIZE, flags)
        except BlockingIOError:
            return False
        if not data:
            raise ConnectionResetError
        return self.state != DRAINING and self.read(data)

    def read(self, data: bytes = b"") -> bool:
        """Read bytes, or those that are left of before; return whether there is a request to answer."""
        try:
            self._request = self._reader.read(data)
        except Refused as refused:
            self._refused = refused
        if self._request or self._refused:
            self.state = RUNNING
            return True
        if self._reader.has_begun:
            self._note_progress(BODY if self._reader.is_in_body else HEAD)
            if self._reader.is_to_continue():
                self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n", socket.MSG_DONTWAIT)
        return False

    def answer(self, application: Application, *, is_last: bool) -> None:
        """Begin to answer the request that has been read."""
        self._began = self._since = time.monotonic()
        request, self._request = self._request, None
        if request is None:
            self._refuse(self._refused or Refused(HTTPStatus.BAD_REQUEST))
            return
        self._answer = Answer(request, is_last=is_last)
        self._pieces = self._answer.pieces(application)
        try:
            self._out = next(self._pieces)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            refused = Refused(HTTPStatus.INTERNAL_SERVER_ERROR)
            refused.request_id = request.environ.get("HTTP_X_REQUEST_ID", "")
            self._refuse(refused, error)

    def flush(self) -> bool:
        """Send as much of the answer as the socket takes; return whether that is all of it."""
        while True:
            if self._out:
                try:
                    sent = self.client.send(self._out, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    sent = 0
                if sent < len(self._out):
                    self._out = memoryview(self._out)[sent:]
                    self._note_progress(WRITING, has_progressed=sent > 0)
                    return False
            self._out = b"" if self._pieces is None else next(self._pieces, b"")
            if not self._out:
                self._pieces = None
                return True

    def is_to_stay(self) -> bool:
        """Return whether there may be another request; or else have what the client still sends thrown away."""
        self._since = time.monotonic()
        if self._answer is not None and self._answer.keep_alive:
            self.state = IDLE
            return True
        self.state = DRAINING
        self.client.shutdown(socket.SHUT_WR)
        return False

    @property
    def is_writing(self) -> bool:
        """Whether a part of an answer has been sent."""
        return self.state == WRITING

    def is_quiet(self, now: float) -> bool:
        """Return whether nothing has come for a second."""
        return now - self._since > 1

    def is_overdue(self, now: float, idle_seconds: float) -> bool:
        """Return whether the client has taken too long, or has been idle for so many seconds."""
        pause = now - self._since
        if self.state == IDLE:
            return pause > idle_seconds
        whole = now - self._began
        return (
            (self.state == NEW and whole > min(HEAD_SECONDS, idle_seconds))
            or (self.state == HEAD and whole > HEAD_SECONDS)
            or (self.state == BODY and (whole > BODY_SECONDS or pause > BODY_PAUSE_SECONDS))
            or (self.state == WRITING and (whole > ANSWER_SECONDS or pause > ANSWER_PAUSE_SECONDS))
            or (self.state == DRAINING and pause > DRAIN_SECONDS)
        )

    def time_out(self) -> bool:
        """Give up to wait; return whether the client is to get an answer to what it has sent so far."""
        if self.state not in (HEAD, BODY):
            return False
        self._refused = Refused(HTTPStatus.REQUEST_TIMEOUT)
        self.state = RUNNING
        return True

    def close(self) -> None:
        """Close the socket, and what is left of an answer."""
        try:
            if self._pieces is not None:
                self._pieces.close()  # type: ignore[attr-defined]  # a generator
        finally:
            self.client.close()

    def _refuse(self, refused: Refused, cause: BaseException | None = None) -> None:
        self._answer = self._pieces = None
        self._out = refusal(refused, self.address, cause)

    def _note_progress(self, state: int, *, has_progressed: bool = True) -> None:
        now = time.monotonic()
        if has_progressed:
            self._since = now
        if state != self.state:
            self.state = state
            if state != WRITING:  # which began with the request
                self._began = now
