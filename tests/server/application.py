"""A WSGI application that answers with what it has been given: ``gunicorn tests.server.application:app``."""

import json
import os
import threading
import time
from urllib.parse import parse_qs

LARGE = 8_000_000
CLOSED = []


class Pieces:
    """A body whose length nobody knows beforehand."""

    def __init__(self, *pieces, fault=None):
        self._pieces = pieces
        self._fault = fault

    def __iter__(self):
        yield from self._pieces
        if self._fault:
            raise self._fault

    def close(self):
        CLOSED.append(self)


class Unclosable(Pieces):
    """A body that fails when it is closed."""

    def close(self):
        raise RuntimeError("s3cr3t")


def plain(body, status="200 OK", *headers):
    return status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers], [body]


def echo(environ, _):
    told = {name: value for name, value in environ.items() if name.isupper() and isinstance(value, str)}
    return plain(json.dumps(told | {"body": environ["wsgi.input"].read().decode("latin-1")}).encode())


def fail(environ, query):
    raise RuntimeError("s3cr3t")


def sleep(environ, query):
    time.sleep(float(query["seconds"]))
    return plain(b"slept")


PATHS = {
    "/no-body": lambda environ, query: (query["status"], [], []),
    "/length-of-two": lambda environ, query: (query["status"], [("Content-Length", "2")], [b"ok"]),
    "/pieces": lambda environ, query: ("200 OK", [], Pieces(b"", b"one", b"", b"two")),
    "/list": lambda environ, query: ("200 OK", [], [b"one", b"two"]),
    "/closed": lambda environ, query: plain(str(len(CLOSED)).encode()),
    "/large": lambda environ, query: (
        "200 OK",
        [("Content-Length", str(LARGE))],
        Pieces(*[b"x" * 80_000] * (LARGE // 80_000)),
    ),
    "/fault": fail,
    "/late-fault": lambda environ, query: ("200 OK", [], Pieces(b"one", fault=RuntimeError("s3cr3t"))),
    "/unclosable": lambda environ, query: ("200 OK", [], Unclosable(b"one", fault=RuntimeError("s3cr3t"))),
    "/too-short": lambda environ, query: ("200 OK", [("Content-Length", "10")], Pieces(b"one")),
    "/too-long": lambda environ, query: ("200 OK", [("Content-Length", "2")], Pieces(b"one", b"two")),
    "/field": lambda environ, query: ("200 OK", [("X-Field", query["value"])], [b""]),
    "/hop": lambda environ, query: plain(b"ok", "200 OK", ("Transfer-Encoding", "gzip"), ("Date", "never")),
    "/close": lambda environ, query: plain(b"bye", "200 OK", ("Connection", "close")),
    "/sleep": sleep,
    "/process": lambda environ, query: plain(str(os.getpid()).encode()),
    "/threads": lambda environ, query: plain(str(threading.active_count()).encode()),
}


def app(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    status, headers, body = PATHS.get(environ["PATH_INFO"], echo)(environ, query)
    write = start_response(status, headers)
    if "write" in query:
        write(query["write"].encode())
    return body
