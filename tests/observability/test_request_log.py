import datetime
import io
import json
import threading
import time

import pytest

from pixora.observability import logs, request_log
from pixora.observability.request_log import REQUEST_LOG, Line
from tests.factories import log_in
from tests.timeouts import LONG

AT = datetime.datetime(2026, 11, 24, 9, 30, tzinfo=datetime.UTC)


@pytest.fixture
def lines(app, monkeypatch):
    """Make a call; return the lines of its requests, as they are written."""

    def of(call):
        REQUEST_LOG.write()
        stream = io.StringIO()
        monkeypatch.setattr(REQUEST_LOG, "handler", logs.Handler(stream))
        call()
        deadline = time.monotonic() + LONG
        while REQUEST_LOG._lines or REQUEST_LOG._waiting.is_set() or not stream.getvalue():
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return of


def test_a_request_leaves_one_line_with_what_the_contract_names(client, account, lines):
    headers = account.bearer | {"X-Request-ID": "follow-me"}
    [line] = lines(lambda: client.get("/api/users/me?token=s3cr3t", headers=headers))
    assert 0 < line.pop("duration") < 5
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "pixora.observability.request_log",
        "message": "request",
        "event": "request",
        "request_id": "follow-me",
        "method": "GET",
        "route": "/api/users/me",
        "status": 422,  # the query is unknown to the route, and to the log
        "user_id": account.id,
    }


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/nowhere/s3cr3t?token=s3cr3t", ("GET", "unknown", 404)),
        ("DELETE", "/api/auth/login", ("DELETE", "unknown", 405)),
        ("FOO", "/", ("other", "unknown", 405)),
        ("GET", "/api/users/s3cr3t", ("GET", "/api/users/<user_id>", 401)),
        ("POST", "/api/auth/login", ("POST", "/api/auth/login", 415)),
        ("GET", "/verify-email?token=s3cr3t", ("GET", "/verify-email", 400)),
        ("OPTIONS", "/api/users/me", ("OPTIONS", "/api/users/me", 200)),
    ],
)
def test_whatever_is_asked_it_has_the_route_and_never_the_path(client, lines, method, path, told):
    [line] = lines(lambda: client.open(path, method=method))
    assert (line["method"], line["route"], line["status"]) == told
    assert "user_id" not in line
    assert "s3cr3t" not in json.dumps(line)


def test_a_fault_and_a_body_that_is_refused_have_their_line(make_app, lines):
    app = make_app(TESTING=False)
    app.add_url_rule("/fault", view_func=lambda: 1 / 0)
    client = app.test_client()
    told = lines(lambda: (client.get("/fault"), client.post("/api/auth/login", data="x" * 20_000)))
    assert [line["status"] for line in told] == [500, 413]


def test_login_and_refresh_tell_whose_they_were(client, account, lines):
    refresh = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    told = lines(lambda: (log_in(client, account.email), client.post("/api/auth/refresh", data=refresh)))
    assert [line["user_id"] for line in told] == [account.id, account.id]


def test_machines_that_ask_every_few_seconds_leave_no_line_unless_something_is_wrong(client, make_app, lines):
    gone = make_app(MONGO_URI="mongodb://127.0.0.1:1/pixora", DATABASE_TIMEOUT_MS=100).test_client()

    def ask():
        for path in ("/health", "/health/live", "/metrics"):
            assert client.get(path).status_code == 200
        assert gone.get("/health").status_code == 503

    [line] = lines(ask)
    assert (line["route"], line["status"]) == ("/health", 503)


def test_lines_are_written_together_but_no_more_than_a_pipe_takes_in_one_go():
    written = []

    class Kept(logs.Handler):
        def write(self, *lines):
            written.append(lines)

    log = request_log.RequestLog()
    log.handler = Kept(io.StringIO())
    log._lines.extend([Line(AT, "x" * 64, "GET", "/", 200, 0.001, None)] * 100)
    log.write()
    assert sum(map(len, written)) == 100
    assert len(written) < 20
    assert all(sum(len(line) + 1 for line in lines) <= 4096 for lines in written)


def test_when_nothing_is_written_memory_does_not_grow(monkeypatch):
    log = request_log.RequestLog()
    monkeypatch.setattr(log, "_writer", threading.current_thread())
    for _ in range(request_log.MAX_GATHERED + 500):
        log.note(Line(AT, "x", "GET", "/", 200, 0.001, None))
    assert len(log._lines) == request_log.MAX_GATHERED


def test_a_user_s_id_of_another_system_cannot_forge_a_line():
    line = str(Line(AT, "x", "GET", "/", 200, 0.001, '"}\r\n{"level": "ERROR"}\x85\u2028'))
    assert line.isprintable()
    assert json.loads(line)["user_id"] == '"}\r\n{"level": "ERROR"}\x85\u2028'
