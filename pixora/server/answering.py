"""Serializes the answers of a WSGI application (PEP 3333) for HTTP/1 (RFC 9112)."""

import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from types import TracebackType
from typing import Any

from pixora.server.reading import Request

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "date"})
"""Header fields that the server sets, not the application: those of the connection (RFC 9110, 7.6.1), and Date."""


REJECTIONS = ("400", "413", "422", "429")
"""The statuses of requests that fail however often they are repeated, or that are too many."""


class InvalidAnswer(Exception):
    """The application's answer is malformed or incomplete, so it cannot be sent."""


class Answer:
    """The answer to one request.

    Args:
        request: The request.
        is_last: Whether to close the connection afterwards, even if the client would keep it.

    """

    __slots__ = ("_headers", "_is_chunked", "_left", "_request", "_status", "_written", "has_begun", "keep_alive")

    def __init__(self, request: Request, *, is_last: bool) -> None:
        self._request = request
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []
        self._is_chunked = False
        self._left: int | None = None  # bytes of the body still to come; None if unknown
        self.has_begun = False
        self.keep_alive = request.keep_alive and not is_last

    def pieces(self, application: Application) -> Iterator[bytes]:
        """Call the application; yield the bytes to send, usually all at once."""
        body = application(self._request.environ, self._start)
        try:
            pieces = iter(body)
            first = b""
            for first in pieces:  # find the first that is not empty
                if first:
                    break
            if self._written:
                first = b"".join([*self._written, first])
            has_body, head = self._head(body, first)
            self.has_begun = True
            if not has_body:
                yield head
                return
            yield head + self._framed(first)
            for piece in pieces:
                if framed := self._framed(piece):
                    yield framed
            if self._is_chunked:
                yield b"0\r\n\r\n"
            elif self._left:
                raise InvalidAnswer(f"{self._left} bytes of the body are missing")
        finally:
            if close := getattr(body, "close", None):
                close()

    @property
    def is_rejection(self) -> bool:
        """Whether the status is one of `REJECTIONS`."""
        return self._status.startswith(REJECTIONS)

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take status and headers: the `start_response` of PEP 3333."""
        if exc_info and self.has_begun:
            raise exc_info[1].with_traceback(exc_info[2])
        self._status, self._headers = status, headers
        return self._written.append

    def _head(self, body: Iterable[bytes], first: bytes) -> tuple[bool, bytes]:
        """Return whether the answer has a body, and its status line and headers."""
        lines = [f"HTTP/1.1 {self._status}"]
        for name, value in self._headers:
            lowered = name.lower()
            if lowered not in HOP_BY_HOP:
                lines.append(f"{name}: {value}")
            elif lowered == "connection" and value.lower() == "close":
                self.keep_alive = False
            if lowered == "content-length":
                self._left = int(value)
        lines.append(f"Date: {_date(int(time.monotonic()))}")
        has_body = self._status[:3] not in ("204", "304")
        if has_body and self._left is None:
            self._frame(body, lines)
        if not self.keep_alive:
            lines.append("Connection: close")
        elif not self._request.is_http_1_1:
            lines.append("Connection: keep-alive")
        head = "\r\n".join(lines)
        if not self._status or not head.count("\r") == head.count("\n") == len(lines) - 1 or "\0" in head:
            raise InvalidAnswer("The status line or a header is malformed")
        return has_body and self._request.environ["REQUEST_METHOD"] != "HEAD", f"{head}\r\n\r\n".encode("latin-1")

    def _frame(self, body: Iterable[bytes], lines: list[str]) -> None:
        """Frame a body for which the application gives no Content-Length."""
        if isinstance(body, list | tuple):
            self._left = sum(map(len, [*self._written, *body]))
            lines.append(f"Content-Length: {self._left}")
        elif self._request.is_http_1_1:
            self._is_chunked = True
            lines.append("Transfer-Encoding: chunked")
        else:
            self.keep_alive = False

    def _framed(self, piece: bytes) -> bytes:
        if self._is_chunked:
            return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        return piece


_dates: dict[int, str] = {}


def _date(second: int) -> str:
    """Return the value of the Date header, formatted once a second."""
    date = _dates.get(second)
    if date is None:
        _dates.clear()
        date = _dates[second] = formatdate(usegmt=True)
    return date
