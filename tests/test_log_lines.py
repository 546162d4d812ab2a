"""Whatever somebody sends, a log line is one line of JSON, in printable ASCII, that says what was to be said."""

import io
import json
import logging
import re
import sys
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixora import clock
from pixora.observability.logs import Formatter, Handler
from pixora.observability.request_log import REQUEST_LOG, Line

# What ends a line somewhere (in JavaScript, in Python, in a terminal), moves its cursor, or is no text at all.
BREAKS = "\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\x00", "\x1b[2K\x1b[1A", "\x9b31m"
FORGED = '"}\n{"level": "FORGED", "message": "forged"}'
ODD = *BREAKS, FORGED, "\ud800", "\udfff", "\u202e", "\ufeff", '"', "\\", "{", "%s"
HOSTILE = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=60),  # lone surrogates included
    st.lists(st.sampled_from(ODD), max_size=20).map("".join),
)
PRINTABLE = re.compile(r"[ -~]*")


def read(text):
    """Return what one line says; fail where it is not one."""
    assert text.endswith("\n")
    [line] = text.splitlines()  # at every kind of line end that Unicode has
    assert PRINTABLE.fullmatch(line)
    return json.loads(line)


def joined(text):
    """Return a text with its surrogates in pairs, where they stand so, as the one character that JSON has for them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def written(*arguments, **options):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter())
    handler.handle(logging.getLogger("x").makeRecord("x", logging.INFO, "file", 1, *arguments, **options))
    return read(stream.getvalue())


@given(HOSTILE, HOSTILE, st.dictionaries(HOSTILE, HOSTILE, max_size=3))
def test_a_text_in_a_line_stays_in_it_and_is_read_as_it_was(message, value, inner):
    line = written("%s", (message,), None, extra={"told": value, "inner": inner, "many": [value]})
    assert (line["message"], line["told"], line["many"]) == (joined(message), joined(value), [joined(value)])
    assert line["inner"] == {joined(name): joined(text) for name, text in inner.items()}


@given(HOSTILE)
def test_so_does_that_of_an_exception(text):
    line = written("failed", (), (ValueError, ValueError(text), None))
    assert line["exc_info"] == (f"ValueError: {joined(text)}" if text else "ValueError")


@given(HOSTILE, HOSTILE, HOSTILE)
def test_so_do_those_of_the_line_of_a_request(request_id, route, user_id):
    line = read(f"{Line(clock.utcnow(), request_id, 'GET', route, 200, 0.1, user_id)}\n")
    assert (line["request_id"], line["route"], line["user_id"]) == (joined(request_id), joined(route), joined(user_id))


def raw(text):
    """Return a text as WSGI has the bytes of one: as Latin-1."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def requests(text):
    """Yield requests with a text in every place that a client can put one, as WSGI environments."""
    names = "X_REQUEST_ID", "USER_AGENT", "X_FORWARDED_FOR", "X_FORWARDED_PROTO", "AUTHORIZATION", "COOKIE", "REFERER"
    headers = {f"HTTP_{name}": raw(text) for name in names} | {"HTTP_IF_MATCH": raw(text), "HTTP_ORIGIN": raw(text)}
    form = urlencode({"username": text, "password": text}, errors="surrogatepass").encode()
    odd = urlencode({text: text, "refresh_token": text}, errors="surrogatepass").encode()
    body = json.dumps({"email": text, text: text, "token": text, "new_password": text, "password": text}).encode()
    types = {"form": "application/x-www-form-urlencoded", "json": "application/json"}
    for method, path, data, kind in (
        ("GET", raw(f"/api/users/{text}"), b"", raw(text)),
        ("GET", raw(f"/{text}"), b"", ""),
        (raw(text) or "X", "/health", b"", ""),
        ("POST", "/api/auth/login", form, types["form"]),
        ("POST", "/api/auth/refresh", odd, types["form"]),
        ("POST", "/api/auth/signup", body, types["json"]),
        ("POST", "/api/auth/password-reset", json.dumps({"email": text}).encode(), types["json"]),
        ("POST", "/api/auth/password-reset/confirm", body, types["json"]),
        ("POST", "/verify-email", odd, types["form"]),
    ):
        yield headers | {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": raw(f"token={text}"),
            "CONTENT_TYPE": kind,
            "CONTENT_LENGTH": str(len(data)),
            "wsgi.input": io.BytesIO(data),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "REMOTE_ADDR": raw(text),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.version": (1, 0),
            "SERVER_PROTOCOL": "HTTP/1.1",
        }


@pytest.fixture
def behind_a_proxy(make_app):
    return make_app(PROXY_COUNT=1)


@given(HOSTILE)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_no_request_makes_anything_but_lines_of_json(behind_a_proxy, text):
    stream = io.StringIO()
    handler = Handler(stream)
    handler.setFormatter(Formatter())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [handler])
        patch.setattr(REQUEST_LOG, "handler", handler)
        environs = list(requests(text))
        for environ in environs:
            b"".join(behind_a_proxy(environ, lambda *_: None))
        REQUEST_LOG.write()
    lines = [read(line) for line in stream.getvalue().splitlines(keepends=True)]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert {line["level"] for line in lines} <= {"INFO", "WARNING", "ERROR"}
