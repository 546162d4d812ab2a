"""Lines of the log for a person at a terminal."""

import io
import json
import logging

import pytest

from pixora.observability.log_format import ReadableFormatter, readable
from pixora.observability.logs import Formatter, Handler


def test_a_request_is_one_short_line():
    fields = {"method": "GET", "route": "/api/users/me", "status": 200, "request_id": "4f1c", "duration": 0.0123}
    line = {"time": "2026-11-27T05:36:36.1+00:00", "level": "INFO", "logger": "x", "message": "request"}
    assert (
        readable(json.dumps(line | {"event": "request"} | fields))
        == "05:36:36 INFO    GET /api/users/me 200 in 12 ms request_id=4f1c"
    )


def test_an_event_has_its_fields():
    line = {"time": "2026-11-27T05:36:36.1+00:00", "level": "WARNING", "message": "A login failed.", "user_id": None}
    assert readable(json.dumps(line)) == "05:36:36 WARNING A login failed. user_id=None"


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202eabc", "\x07", "\x9b31m"])
def test_text_of_clients_does_not_steer_the_terminal(text):
    line = readable(json.dumps({"time": "2026-11-27T05:36:36", "level": "INFO", "message": text, "name": text}))
    assert line.isprintable()


def test_an_exception_follows_its_line():
    formatter = ReadableFormatter()
    record = logging.LogRecord("x", logging.ERROR, "", 1, "It failed.", None, (ValueError, ValueError("why"), None))
    first, *rest = formatter.format(record).splitlines()
    assert first.endswith("ERROR   It failed.")
    assert rest[-1] == "ValueError: why"


@pytest.mark.parametrize("is_readable", [False, True])
def test_the_handler_writes_what_it_is_set_to(is_readable):
    stream = io.StringIO()
    handler = Handler(stream)
    handler.setFormatter(Formatter())
    handler.is_readable = is_readable
    handler.handle(logging.LogRecord("x", logging.INFO, "", 1, "Done.", None, None))
    handler.write('{"time": "2026-11-27T05:36:36", "level": "INFO", "message": "Again."}')
    assert [line.startswith("{") for line in stream.getvalue().splitlines()] == [not is_readable] * 2
