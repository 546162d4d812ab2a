"""What a request leaves behind: its duration among those of its route, and a log line.

The line has the route and not the path, and nothing of the query: there may be a token in them. It has no address of
the client either; nginx's own log, by the same request id, and the audit trail have that.

Every request pays for this. So it is done without Flask's hooks, and lines are gathered and written together, by a
thread: one by one they would cost several times as much, most of it for giving the interpreter to another thread and
getting it back. A worker that is killed loses the lines of its last moment; those of other loggers never wait.

Measured, and not done: a record of the standard library through `QueueHandler` to the formatter of `logs`. It takes
10 µs of CPU for the record and the queue and 18 for the line, where this takes 5 for both; with a formatter of our own
still 20; and a `QueueListener` writes line by line. So the line is put together here, from what is the same for all
requests of a kind.
"""

import atexit
import json
import threading
import time
from collections import deque
from datetime import datetime
from functools import cache
from select import PIPE_BUF
from typing import Any, NamedTuple

import flask
from flask import Response
from flask.globals import app_ctx, request_ctx

from pixora import clock
from pixora.observability import logs, metrics
from pixora.web.middleware import request_id

UNTOLD = frozenset({"health.ready", "health.live", "metrics.get_metrics"})
"""Endpoints that machines ask every few seconds: no line, as long as all is well."""

GATHERING_SECONDS = 0.05
"""How long a line waits for others."""

MAX_GATHERED = 10_000
"""Lines that wait, when their thread is held up. Further ones are lost."""


class Request(flask.Request):
    """A request that knows when it came."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.began = time.perf_counter()


class Flask(flask.Flask):
    """Flask, observing what it answers."""

    request_class = Request

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        REQUEST_LOG.handler = logs.init()

    def process_response(self, response: Response) -> Response:
        """Observe a response, whatever it is, when it is ready."""
        response = super().process_response(response)
        request: Any = request_ctx.request  # one of ours, above
        seconds = time.perf_counter() - request.began
        rule = request.url_rule
        route = rule.rule if rule else metrics.UNKNOWN_ROUTE
        method = request.method if request.method in metrics.METHODS else metrics.OTHER
        status = response.status_code
        metrics.request_duration(route, method, status).observe(seconds)
        if status >= 400 or request.endpoint not in UNTOLD:
            known = app_ctx.g  # once, for each look at flask.g costs a microsecond
            name = known.get("request_id") or request_id()
            more = known.get("user_id"), known.get("trace_id")
            REQUEST_LOG.note(Line(clock.utcnow(), name, method, route, status, seconds, *more))
        return response


class Line(NamedTuple):
    """The fields of a request's log line. `duration`: seconds."""

    at: datetime
    request_id: str
    method: str
    route: str
    status: int
    duration: float
    user_id: str | None = None
    trace_id: str | None = None

    def __str__(self) -> str:
        more = [
            f', "{name}": {json.dumps(value)}'
            for name, value in (("user_id", self.user_id), ("trace_id", self.trace_id))
            if value is not None
        ]
        return (
            f'{{"time": "{self.at.isoformat()}", {_of_all(self.method, self.route, self.status)}, '
            f'"request_id": {json.dumps(self.request_id)}, "duration": {self.duration:.6f}{"".join(more)}}}'
        )


@cache
def _of_all(method: str, route: str, status: int) -> str:
    """Return the part of a line that all requests of a kind have. There are as many kinds as there are metrics of."""
    told = {"level": "INFO", "logger": __name__, "message": "request", "event": "request"}
    return json.dumps(told | {"method": method, "route": route, "status": status})[1:-1]


class RequestLog:
    """Gathers the lines of requests, and writes them."""

    handler: logs.Handler

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._waiting = threading.Event()
        self._writer: threading.Thread | None = None

    def note(self, line: Line) -> None:
        """Have a line written soon."""
        if len(self._lines) >= MAX_GATHERED:
            metrics.log_lines_lost.inc()
            return
        self._lines.append(line)
        if not self._waiting.is_set():
            self._waiting.set()
            if self._writer is None:  # at need, and so never before a fork
                self._writer = threading.Thread(target=self._work, name="request-log", daemon=True)
                self._writer.start()
                atexit.register(self.write)

    def write(self) -> None:
        """Write what there is."""
        chunk: list[str] = []
        size = 0
        while self._lines:
            line = str(self._lines.popleft())
            if chunk and size + len(line) >= PIPE_BUF:
                self.handler.write(*chunk)
                chunk, size = [], 0
            chunk.append(line)
            size += len(line) + 1
        if chunk:
            self.handler.write(*chunk)

    def _work(self) -> None:
        while True:
            self._waiting.wait()
            time.sleep(GATHERING_SECONDS)
            self._waiting.clear()  # before it looks: what comes from now on may not be seen
            self.write()


REQUEST_LOG = RequestLog()
"""That of this process."""
