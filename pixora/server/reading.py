"""Parses HTTP/1 requests from bytes as they arrive, strictly by RFC 9112.

If a proxy and the server behind it understand a request differently, clients can smuggle requests past the proxy. So
this grammar rejects everything else, also where the RFC leaves a choice: a lone LF, folded lines, two equal lengths,
codings other than `chunked`. The tests compare it with h11 and llhttp: it accepts nothing that either of them rejects.

llhttp (`httptools`) is not used: it makes a call for each field, and accepts what would have to be checked anyway, such
as RTSP, other codings or two Host fields. With these checks it is not faster.
"""

import re
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from pixora.server.bodies import FIELDS, NEVER, TOKEN, TOO_LARGE, Body, Chunks, Refused

_TARGET = rb"[!-\"$-~]++"  # visible ASCII without the "#" of a fragment, which is never sent
HEAD = re.compile(rb"(" + TOKEN + rb"{1,32}+) (" + _TARGET + rb") HTTP/1\.([01])(" + FIELDS.pattern + rb")")
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb"++) " + _TARGET + rb" HTTP/([0-9]\.[0-9])")
ABSOLUTE = re.compile(r"https?://([^/?]+)(.*)", re.IGNORECASE)
HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
"""RFC 3986, 3.2.2, without user information, and without a comma, which joins two Host fields in WSGI."""

KEYS = {b"origin": "HTTP_ORIGIN", b"x-request-id": "HTTP_X_REQUEST_ID"}
"""The fields on which the answer to a refused head depends, and their names in the WSGI environment."""

NAMED = re.compile(rb"\r\n(" + b"|".join(KEYS) + rb"):[\t ]*+([!-~]++)[\t ]*+(?=\r\n)", re.IGNORECASE)

CODINGS = re.compile(r"{0}(?:[ \t]*,[ \t]*{0})*".format(TOKEN.decode() + "+"))
MAX_HEAD = 65_536


class Limits(NamedTuple):
    """Limits of a request: the bytes of its first line, of a field and of the body, and the number of fields."""

    line: int
    field: int
    fields: int
    body: int


class Request(NamedTuple):
    """A complete request."""

    environ: dict[str, Any]
    is_http_1_1: bool
    keep_alive: bool


class Reader:
    """Reads the requests of one connection.

    Args:
        base: The part of the WSGI environment that all of them share.
        limits: Their size limits.

    """

    __slots__ = ("_base", "_body", "_data", "_is_blank", "_is_expectant", "_limits", "_request", "_seen")

    def __init__(self, base: dict[str, Any], limits: Limits) -> None:
        self._base = base
        self._limits = limits
        self._data = b""  # received and not parsed yet
        self._seen = 0  # the bytes of it that were checked for `NEVER`
        self._request: Request | None = None  # the request whose head was read
        self._body: Body | Chunks | None = None  # its body
        self._is_expectant = False
        self._is_blank = False  # whether an empty line was skipped

    @property
    def has_begun(self) -> bool:
        """Whether a part of a request was received."""
        return bool(self._data) or self._request is not None

    @property
    def is_in_body(self) -> bool:
        """Whether only the body of a request is missing."""
        return self._request is not None

    @property
    def environ(self) -> dict[str, Any]:
        """The WSGI environment of the current request; if its head is incomplete or refused, only `KEYS` of it."""
        if self._request is not None:
            return self._request.environ
        head, end, _ = self._data.partition(b"\r\n\r\n")
        fields = NAMED.findall(head + end)
        environ = {KEYS[name.lower()]: value.decode() for name, value in fields}
        return environ if len(environ) == len(fields) else {}  # nothing of a head that has one of them twice

    def is_to_continue(self) -> bool:
        """Return, once, whether the client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1)."""
        is_expectant, self._is_expectant = self._is_expectant, False
        return is_expectant and self._body is not None and not self._body.content

    def read(self, data: bytes) -> Request | None:
        """Parse more bytes; return a request once it is complete.

        Bytes after it are kept: call again, without bytes, for the next request.

        Raises:
            Refused: the request is malformed or too large. Nothing more can be read from the connection.

        """
        data = self._data = self._data + data if self._data else data
        if self._request is None:
            if not self._is_blank and data.startswith(b"\r\n"):
                # RFC 9112, 2.2: some old clients send an empty line after a body; one is ignored.
                self._is_blank = True
                data = self._data = data[2:]
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._look_ahead()
                return None
            self._request = self._read_head(data[:end])
            self._data = data[end + 4 :]
        if self._body is not None:
            self._read_body(self._request, self._body)
            if self._body is not None:
                return None
        request, self._request, self._seen, self._is_blank = self._request, None, 0, False
        return request

    def _read_body(self, request: Request, body: Body | Chunks) -> None:
        rest = body.read(self._data)
        if rest is None:
            self._data = b""
            return
        self._data, self._body = rest, None
        request.environ["wsgi.input"] = BytesIO(body.content)
        request.environ["CONTENT_LENGTH"] = str(len(body.content))

    def _look_ahead(self) -> None:
        """Reject an incomplete head as soon as it cannot become a valid one."""
        line, separator, _ = self._data.partition(b"\r\n")
        is_bad = NEVER.search(self._data, self._seen) or (separator and not HEAD.fullmatch(line))
        if is_bad or len(line) - line.endswith(b"\r") > self._limits.line:
            raise _cause(line, self._limits)
        if len(self._data) > MAX_HEAD:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._seen = max(0, len(self._data) - 1)  # a CR at the end is checked again with the next byte

    def _read_head(self, head: bytes) -> Request:
        limits = self._limits
        match = HEAD.fullmatch(head)
        is_long = len(head) > limits.line
        if match is None or (is_long and len(head.partition(b"\r\n")[0]) > limits.line):
            raise _cause(head.partition(b"\r\n")[0], limits)
        method, target, minor, raw = match.groups()
        fields = raw.decode("latin-1").split("\r\n")  # the first one is empty
        if (
            len(fields) > limits.fields + 1
            or len(head) > MAX_HEAD
            or (is_long and max(map(len, fields)) > limits.field)
        ):
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        env = self._base.copy()
        for field in fields[1:]:
            name, _, value = field.partition(":")
            if key := _key(name):
                value = value.strip(" \t")
                if key in env:
                    value = f"{env[key]},{value}"
                    if len(value) > limits.field:
                        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                env[key] = value
        env["REQUEST_METHOD"] = method.decode()
        env["SERVER_PROTOCOL"] = "HTTP/1.1" if minor == b"1" else "HTTP/1.0"
        env["wsgi.input"] = BytesIO()
        _set_target(env, target.decode())
        return self._frame(env, is_http_1_1=minor == b"1")

    def _frame(self, env: dict[str, Any], *, is_http_1_1: bool) -> Request:
        """Determine the length of the body (RFC 9112, 6.3), and whether the connection persists afterwards."""
        length = env.get("CONTENT_LENGTH")
        coding = env.pop("HTTP_TRANSFER_ENCODING", None)
        if coding is not None:
            if length is not None or not is_http_1_1:
                raise Refused(HTTPStatus.BAD_REQUEST)
            if coding.lower() != "chunked":
                raise Refused(_status_of_coding(coding))
            self._body = Chunks(self._limits.body)
        elif length is not None and (size := _size(length, self._limits.body)):
            self._body = Body(size)
        expected = env.get("HTTP_EXPECT")
        if expected is not None and is_http_1_1:
            if expected.lower() != "100-continue":
                raise Refused(HTTPStatus.EXPECTATION_FAILED)
            self._is_expectant = True
        connection = env.get("HTTP_CONNECTION")
        if connection is None:
            return Request(env, is_http_1_1, is_http_1_1)
        options = {option.strip(" \t") for option in connection.lower().split(",")}
        return Request(env, is_http_1_1, "close" not in options and (is_http_1_1 or "keep-alive" in options))


@lru_cache(512)
def _key(name: str) -> str | None:
    """Return the name of a field in the WSGI environment; None with an underscore, which would look like a hyphen."""
    if "_" in name:
        return None
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"


def _set_target(env: dict[str, Any], target: str) -> None:
    """Split the request target (RFC 9112, 3.2); the host of an absolute one replaces the Host field."""
    host = env.get("HTTP_HOST")
    if host is None:
        if env["SERVER_PROTOCOL"] == "HTTP/1.1":
            raise Refused(HTTPStatus.BAD_REQUEST)
    elif not HOST.fullmatch(host):
        raise Refused(HTTPStatus.BAD_REQUEST)
    path = target
    if not target.startswith("/"):
        absolute = ABSOLUTE.fullmatch(target)
        if absolute and HOST.fullmatch(absolute[1]):
            env["HTTP_HOST"], path = absolute.groups()
            path = path if path.startswith("/") else f"/{path}"
        elif target != "*" or env["REQUEST_METHOD"] != "OPTIONS":
            raise Refused(HTTPStatus.BAD_REQUEST)
    path, _, env["QUERY_STRING"] = path.partition("?")
    env["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    env["RAW_URI"] = env["REQUEST_URI"] = target


def _size(length: str, limit: int) -> int:
    if not (length.isascii() and length.isdecimal()):
        raise Refused(HTTPStatus.BAD_REQUEST)
    if len(length) > 18 or int(length) > limit:
        raise Refused(*TOO_LARGE)
    return int(length)


def _status_of_coding(coding: str) -> HTTPStatus:
    """Return 501 for an unknown transfer coding, 400 for a malformed field (RFC 9112, 6.1 and 7)."""
    if CODINGS.fullmatch(coding) and "chunked" not in (name.strip(" \t") for name in coding.lower().split(",")[:-1]):
        return HTTPStatus.NOT_IMPLEMENTED
    return HTTPStatus.BAD_REQUEST


def _cause(line: bytes, limits: Limits) -> Refused:
    """Return the reason to reject a head that begins with this line."""
    match = REQUEST_LINE.fullmatch(line)
    if len(line) > limits.line and not NEVER.search(line):
        return Refused(HTTPStatus.REQUEST_URI_TOO_LONG)
    if match and match[2] not in (b"1.0", b"1.1"):
        return Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if match and len(match[1]) > 32:
        return Refused(HTTPStatus.NOT_IMPLEMENTED)
    return Refused(HTTPStatus.BAD_REQUEST)
