"""The request log: for each request its duration, in the metrics of its route, and a log line.

The line contains the route instead of the path, and no query: both may contain a token. It does not contain the
client's IP address; the log of nginx, which has the same request id, and the audit trail do.

Every request pays for this, so it is done without Flask's hooks, and a thread writes several lines at once: one by one
they would cost several times as much, mostly for switching threads. A worker that is killed loses the lines of its last
moment. Lines of other loggers never wait.

The standard library's `QueueHandler` and `QueueListener` are not used. Measured: they take 10 µs of CPU for record and
queue and 18 for the line, or 20 in all with a formatter of our own; this takes 5. So lines are built here, from parts
that all requests of a kind share.
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
from flask import Response, g

from pixora import clock
from pixora.observability import logs, metrics
from pixora.web.application import Application, current
from pixora.web.middleware import id_of

UNLOGGED = frozenset({"health.ready", "health.live", "metrics.get_metrics"})
"""Endpoints that machines request every few seconds: successful requests get no line."""

GATHERING_SECONDS = 0.05
"""How long a line waits for further ones."""

MAX_GATHERED = 10_000
"""Lines that may wait while their thread is blocked. Further lines are dropped."""


class Request(flask.Request):
    """A request with the time at which it began."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.began = time.perf_counter()


class Flask(Application):
    """Flask with the request log."""

    request_class = Request

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        REQUEST_LOG.handler = logs.init()

    def process_response(self, response: Response) -> Response:
        """Log a response when it is ready."""
        response = super().process_response(response)
        request: Any = current(flask.request)  # the class above
        seconds = time.perf_counter() - request.began
        rule = request.url_rule
        route = rule.rule if rule else metrics.UNKNOWN_ROUTE
        method = request.method if request.method in metrics.METHODS else metrics.OTHER
        status = response.status_code
        metrics.request_duration(route, method, status).observe(seconds)
        if status >= 400 or request.endpoint not in UNLOGGED:
            known = current(g)
            name = id_of(request.environ)
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
    """Return the part of a line that all requests of a kind share. The metrics have as many kinds."""
    fields = {"level": "INFO", "logger": __name__, "message": "request", "event": "request"}
    return json.dumps(fields | {"method": method, "route": route, "status": status})[1:-1]


class RequestLog:
    """Gathers the lines of requests, and writes them."""

    handler: logs.Handler

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._waiting = threading.Event()
        self._writer: threading.Thread | None = None

    def note(self, line: Line) -> None:
        """Queue a line, which is written soon."""
        if len(self._lines) >= MAX_GATHERED:
            metrics.log_lines_lost.inc()
            return
        self._lines.append(line)
        if not self._waiting.is_set():
            self._waiting.set()
            if self._writer is None:  # not before the first request, and so never before gunicorn forks
                self._writer = threading.Thread(target=self._work, name="request-log", daemon=True)
                self._writer.start()
                atexit.register(self.write)

    def write(self) -> None:
        """Write the queued lines."""
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
            self._waiting.clear()  # before writing: lines that come during it may be missed
            self.write()


REQUEST_LOG = RequestLog()
"""The request log of this process."""
