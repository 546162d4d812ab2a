"""Logs: one JSON object a line on stdout, in UTC, with the id of the request.

Passwords, tokens, hashes and the database URI are never logged. JSON escapes the text of clients, so they cannot
forge a line.

stdout is usually a pipe. When its reader hangs, the pipe fills up and writes block: first the request that logs, then
every other one that waits for the handler's lock. So no line waits longer than `TIMEOUT_SECONDS`; lost lines are
counted.
"""

import contextlib
import logging
import re
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from flask import g, has_request_context

from pixora.observability import metrics
from pixora.observability.log_format import LineFormatter, readable
from pixora.web.middleware import request_id

FROM_A_DOCUMENT = re.compile("(, full error:| dup key:).*")
"""The end of a PyMongo error message, which quotes the rejected document and the password hash in it."""

TIMEOUT_SECONDS = 0.1
"""How long a line waits for a slow reader. After one timeout, lines are dropped at once until the pipe has room."""


class Formatter(LineFormatter):
    """The format of lines, with `request_id` and `trace_id` during a request."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the ids of the request, if there is one."""
        super().add_fields(log_data, record, message_dict)
        if has_request_context():
            log_data["request_id"] = request_id()
            if trace_id := g.get("trace_id"):
                log_data["trace_id"] = trace_id

    def formatException(self, ei: Any) -> Any:  # noqa: N802  # logging's name
        """Format an exception without the parts of documents in it."""
        return FROM_A_DOCUMENT.sub(r"\1 …", str(super().formatException(ei)))


class Handler(logging.StreamHandler[TextIO]):
    """Writes each line at once and whole, or drops it if the pipe is full.

    A pipe that is not full takes `PIPE_BUF` bytes without blocking. Only if two workers take the last room at the same
    moment, one thread of one of them blocks until the pipe is read; the other threads drop their lines and go on.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        # Set in development, for a person at a terminal.
        self.is_readable = False
        self._is_stuck = False
        self._writable = _watched(self.stream)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record: JSON, or what a person reads."""
        line = super().format(record)
        return readable(line) if self.is_readable else line

    def setStream(self, stream: TextIO) -> TextIO | None:  # noqa: N802  # logging's name
        """Change the stream."""
        self._writable = _watched(stream)
        return super().setStream(stream)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a line; return whether it was written."""
        with self._room(1) as has_room:
            return has_room and bool(super().handle(record))

    def write(self, *lines: str) -> None:
        """Write formatted lines of together at most `PIPE_BUF` bytes, in one call."""
        with self._room(len(lines)) as has_room, contextlib.suppress(OSError, ValueError):
            if has_room:
                shown = map(readable, lines) if self.is_readable else lines
                self.stream.write("".join(f"{line}\n" for line in shown))
                self.flush()

    @contextlib.contextmanager
    def _room(self, lines: int) -> Iterator[bool]:
        """Lock the stream and return whether it can be written; if not, count the lines as lost."""
        timeout = 0.0 if self._is_stuck else TIMEOUT_SECONDS
        if self.lock is None or not self.lock.acquire(timeout=timeout):
            self._is_stuck = True
            metrics.log_lines_lost.inc(lines)
            yield False
            return
        try:
            states = [state for _, state in self._writable.poll(timeout * 1000)] if self._writable else None
            self._is_stuck = states not in (None, [select.POLLOUT])  # the pipe is full, or has no reader
            if self._is_stuck:
                metrics.log_lines_lost.inc(lines)
            yield not self._is_stuck
        finally:
            self.lock.release()


def _watched(stream: TextIO) -> "select.poll | None":  # in quotes because `select.poll` is a function, not a type
    """Return the poll object that tells whether a stream can be written; None if it is no file, as in tests."""
    poll = select.poll()
    with contextlib.suppress(OSError, TypeError, ValueError):
        poll.register(stream, select.POLLOUT)
        return poll
    return None


def init() -> Handler:
    """Send the logs of this process to stdout as JSON; return the handler."""
    handler = Handler(sys.stdout)
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)  # not DEBUG: PyMongo would log documents
    return handler


def to_stderr() -> None:
    """Send the logs to stderr, for commands whose output programs read."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
