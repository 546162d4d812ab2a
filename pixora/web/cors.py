"""Cross-origin requests (CORS): which pages of other origins may call the API and read its answers."""

import re

from flask import Flask, Response
from flask_cors import CORS

ALLOWED_HEADERS = (
    *("Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("X-Request-ID", "X-Requested-With", "traceparent", "tracestate", "baggage", "sentry-trace"),
)
"""What pages may send: what we read, and what the libraries of browsers add to every request."""

EXPOSED_HEADERS = ("Content-Disposition", "ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID")
"""What pages may read."""

MAX_AGE = 600
"""Seconds for which a browser may keep what it was told about an address."""


def init_app(app: Flask) -> None:
    """Let the pages of `CORS_ORIGINS` call `app`, where there are any."""
    origins = app.config["CORS_ORIGINS"]
    if not origins:
        return
    CORS(
        app,
        # As patterns, all of them: a text with "*" or "[" in it Flask-CORS takes for a pattern that need not match
        # to the end.
        origins=[pattern(origin) for origin in origins],
        allow_headers=[*ALLOWED_HEADERS, *app.config["CORS_ALLOW_HEADERS"]],
        expose_headers=EXPOSED_HEADERS,
        max_age=MAX_AGE,
        always_send=False,
        vary_header=False,
    )
    app.after_request(_vary)


def pattern(origin: str) -> re.Pattern[str]:
    """Return what matches the Origin headers that an entry of `CORS_ORIGINS` stands for, and no others.

    Args:
        origin: As `config_rules.origin` has it. ``*.`` stands for one or more names of subdomains.

    """
    return re.compile(re.escape(origin).replace(r"\*\.", r"(?:[a-z0-9_-]+\.)+") + r"\Z")


def _vary(response: Response) -> Response:
    # On every answer, also to who sends no Origin: a cache must not give one's answer to the other.
    response.vary.add("Origin")
    return response
