"""The connection of one client: its state, its buffers and its time limits."""

import socket
import struct
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from pixora.server.answering import Answer, Application
from pixora.server.bodies import Refused
from pixora.server.reading import Limits, Reader, Request
from pixora.server.refusals import refusal
from pixora.web.cors import Origins

HEAD_SECONDS = 10
"""For the request line and headers, from their first byte; for a new connection, until that byte."""

BODY_SECONDS, BODY_PAUSE_SECONDS = 30, 10
"""For the whole body, and between two parts of it."""

ANSWER_SECONDS, ANSWER_PAUSE_SECONDS = 120, 10
"""For the client to read a whole answer, and between two parts of it."""

DRAIN_SECONDS = 2
"""For the client to close after the last answer; what it sends meanwhile is discarded. Closing at once would reset the
connection, and the answer could be lost (RFC 9112, 9.6)."""

LINGER_SECONDS = 0.02
"""How long a thread waits for the next request."""

SIZE = 16_384
"""Bytes to read at once."""

NEW, IDLE, HEAD, BODY, RUNNING, WRITING, DRAINING = range(7)


class Connection:
    """A connection to a client. Only its owner calls it: the poller or one thread.

    Args:
        client: The socket.
        address: The client's IP address; empty on a Unix socket.
        base: The part of the WSGI environment that all its requests share.
        limits: The size limits of its requests.
        origins: Patterns of the origins whose pages may read that a request was rejected.

    """

    def __init__(
        self, client: socket.socket, address: str, base: dict[str, Any], limits: Limits, origins: Origins = ()
    ) -> None:
        self.client = client
        self.address = address
        self.state = NEW
        self._since = self._began = time.monotonic()  # last progress, and begin of the current state
        self._origins = origins
        self._reader = Reader(base, limits)
        self._request: Request | None = None
        self._refused: Refused | None = None
        self._answer: Answer | None = None
        self._pieces: Iterator[bytes] | None = None
        self._out: bytes | memoryview = b""
        client.setblocking(True)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(LINGER_SECONDS * 1e6)))

    def fileno(self) -> int:
        """Return the file descriptor, for the poller."""
        return self.client.fileno()

    def receive(self, flags: int = socket.MSG_DONTWAIT) -> bool:
        """Receive bytes and return whether there is a request to answer; without flags, wait up to `LINGER_SECONDS`.

        Raises:
            OSError: the client has closed the connection.

        """
        try:
            data = self.client.recv(SIZE, flags)
        except BlockingIOError:
            return False
        if not data:
            raise ConnectionResetError
        return self.state != DRAINING and self.read(data)

    def read(self, data: bytes = b"") -> bool:
        """Parse bytes, or those left from before; return whether there is a request to answer."""
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
        """Begin to answer the request that was read."""
        self._began = self._since = time.monotonic()
        request, self._request = self._request, None
        if request is None:
            self._refuse(self._refused or Refused(HTTPStatus.BAD_REQUEST), self._reader.environ)
            return
        self._answer = Answer(request, is_last=is_last)
        self._pieces = self._answer.pieces(application)
        try:
            self._out = next(self._pieces)
        except BaseException as error:  # noqa: BLE001  # the client gets an answer whatever fails
            self._refuse(Refused(HTTPStatus.INTERNAL_SERVER_ERROR), request.environ, error)

    def flush(self) -> bool:
        """Send as much of the answer as the socket takes; return whether all of it was sent."""
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
        """Return whether to keep the connection for another request; if not, begin to close it."""
        self._since = time.monotonic()
        if self._answer is not None and self._answer.keep_alive:
            self.state = IDLE
            return True
        self.state = DRAINING
        self.client.shutdown(socket.SHUT_WR)
        return False

    def hold_back(self) -> bool:
        """Return whether the answer rejects the request, and so is to be sent a little later."""
        if self.state != RUNNING or self._answer is None or not self._answer.is_rejection:
            return False
        self.state = WRITING
        return True

    @property
    def is_writing(self) -> bool:
        """Whether the answer was sent in part."""
        return self.state == WRITING

    def is_quiet(self, now: float) -> bool:
        """Return whether there was no progress for a second."""
        return now - self._since > 1

    def is_overdue(self, now: float, idle_seconds: float) -> bool:
        """Return whether the client has exceeded a time limit, or was idle for `idle_seconds`."""
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
        """Stop waiting for a request; return whether the client has sent a part of one and gets an answer (408)."""
        if self.state not in (HEAD, BODY):
            return False
        self._refused = Refused(HTTPStatus.REQUEST_TIMEOUT)
        self.state = RUNNING
        return True

    def close(self) -> None:
        """Close the socket and the rest of the answer."""
        try:
            if self._pieces is not None:
                self._pieces.close()  # type: ignore[attr-defined]  # a generator
        finally:
            self.client.close()

    def _refuse(self, refused: Refused, environment: Mapping[str, Any], cause: BaseException | None = None) -> None:
        self._answer = self._pieces = None
        self._out = refusal(refused, environment, self.address, self._origins, cause)

    def _note_progress(self, state: int, *, has_progressed: bool = True) -> None:
        now = time.monotonic()
        if has_progressed:
            self._since = now
        if state != self.state:
            self.state = state
            if state != WRITING:  # which began with the request
                self._began = now
