"""A client that sends bytes as they are, and reads answers one by one."""

import json
import socket
from typing import Any, NamedTuple, Self

SECONDS = 60
"""Whatever has not come by then never does."""

GOOD = b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n"


class Answer(NamedTuple):
    """An answer: its status, its fields by their names in small letters, and its body."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes, step: int = 0) -> None:
        """Send bytes, all at once or so many at a time; a server that has closed by then is no fault of ours."""
        try:
            for start in range(0, len(data), step or len(data) or 1):
                self.socket.sendall(data[start : start + (step or len(data))])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, method: bytes = b"GET") -> Answer:
        """Read the next answer."""
        status_line = self._file.readline()
        assert status_line.startswith(b"HTTP/1.1 "), status_line
        status = int(status_line[9:12])
        fields = {}
        while line := self._file.readline().rstrip(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(": ")
            assert name.lower() not in fields, "a field is there once"
            fields[name.lower()] = value
        if method == b"HEAD" or status in (100, 204, 304):
            return Answer(status, fields, b"")
        if fields.get("transfer-encoding") == "chunked":
            return Answer(status, fields, b"".join(iter(self._chunk, b"")))
        if "content-length" not in fields:
            return Answer(status, fields, self._file.read())
        return Answer(status, fields, self._file.read(int(fields["content-length"])))

    def _chunk(self) -> bytes:
        size = int(self._file.readline(), 16)
        data = self._file.read(size)
        assert self._file.readline() == b"\r\n"
        return data

    def rest(self) -> bytes:
        """Read until the server closes."""
        try:
            return self._file.read()
        except ConnectionResetError:
            return b""

    def is_open(self) -> bool:
        """Return whether another request is answered."""
        self.send(GOOD)
        answer = self.answer()
        return answer.status == 200 and answer.json["PATH_INFO"] == "/good"
