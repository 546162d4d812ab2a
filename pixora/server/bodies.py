"""Reads the bodies of requests: with a Content-Length or in chunks (RFC 9112, 6.2 and 7.1)."""

import re
from http import HTTPStatus

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
FIELDS = re.compile(rb"(?:\r\n" + TOKEN + rb"++:[\t -~\x80-\xff]*+)*+")
NEVER = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n")
"""Bytes that no header field contains, so a request with them is rejected at once: TLS, other binary protocols, lone CR
or LF."""

_EXTENSION = rb";[\t ]*+" + TOKEN + rb"++(?:=(?:" + TOKEN + rb"++|\"[\t !#-\[\]-~]*+\"))?+"
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8}+)(?:" + _EXTENSION + rb")*+\r\n")
FRAMING = re.compile(rb"\r\n(?:content-length|transfer-encoding):", re.IGNORECASE)
"""Fields that are not allowed in trailers (RFC 9110, 6.5.1)."""

MAX_CHUNK_LINE = 256
MAX_TRAILERS = 8_192


class Refused(Exception):
    """A request that is rejected before it reaches the application; then the connection is closed.

    Args:
        status: The status of the answer.
        code: The `code` of the problem; by default the name of the status.

    """

    def __init__(self, status: HTTPStatus, code: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.code = code


TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "payload_too_large"
MALFORMED = HTTPStatus.BAD_REQUEST, "malformed_body"


class Body:
    """A body of `length` bytes."""

    def __init__(self, length: int) -> None:
        self.content = bytearray()
        self._missing = length

    def read(self, data: bytes) -> bytes | None:
        """Read more bytes; return those after the end of the body, or None before it."""
        missing = self._missing
        self.content += data[:missing]
        self._missing = max(0, missing - len(data))
        return None if self._missing else data[missing:]


class Chunks:
    """A body in chunks, of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.content = bytearray()
        self._limit = limit
        self._data = b""
        self._at = 0  # the position in `_data` up to which it was read: cutting it at each chunk would take too long
        self._missing = 0  # bytes of the current chunk
        self._step = self._read_size

    def read(self, data: bytes) -> bytes | None:
        """Read more bytes; return those after the end of the body, or None before it.

        Raises:
            Refused: the body is malformed or too large.

        """
        self._data, self._at = self._data[self._at :] + data, 0
        while self._step():
            if self._step == self._end:
                return self._data[self._at :]
        return None

    def _read_size(self) -> bool:
        match = CHUNK.match(self._data, self._at)
        length = (match.end() if match else len(self._data)) - self._at
        if length > MAX_CHUNK_LINE or (match is None and b"\n" in self._data[self._at :]):
            raise Refused(*MALFORMED)
        if match is None:
            return False
        self._at = match.end()
        self._missing = int(match[1], 16)
        if len(self.content) + self._missing > self._limit:
            raise Refused(*TOO_LARGE)
        self._step = self._read_content if self._missing else self._read_trailers
        return True

    def _read_content(self) -> bool:
        taken = self._data[self._at : self._at + self._missing]
        self.content += taken
        self._at += len(taken)
        self._missing -= len(taken)
        if self._missing or len(self._data) < self._at + 2:
            return False
        if not self._data.startswith(b"\r\n", self._at):
            raise Refused(*MALFORMED)
        self._at += 2
        self._step = self._read_size
        return True

    def _read_trailers(self) -> bool:
        """Check the trailers, and discard them."""
        fields = b"\r\n" + self._data[self._at :]
        end = fields.find(b"\r\n\r\n")
        if end < 0 and len(fields) <= MAX_TRAILERS and not NEVER.search(fields):
            return False
        if not 0 <= end <= MAX_TRAILERS or not FIELDS.fullmatch(fields, 0, end) or FRAMING.search(fields, 0, end):
            raise Refused(*MALFORMED)
        self._data, self._at = fields, end + 4
        self._step = self._end
        return True

    def _end(self) -> bool:
        return False
