"""Cross-origin requests (CORS): which pages of other origins may call the API and read its answers."""

import re
from collections.abc import Collection, Iterable

from flask import Flask, Response
from flask_cors import CORS

ALLOWED_HEADERS = (
    *("Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("X-Request-ID", "X-Requested-With", "traceparent", "tracestate", "baggage", "sentry-trace"),
)
"""Request headers: those that the API reads, and those that browser libraries add to every request."""

EXPOSED_HEADERS = ("Content-Disposition", "ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID")
"""Response headers that pages may read."""

MAX_AGE = 600
"""Seconds for which a browser may cache a preflight."""

Origins = Collection[re.Pattern[str]]
"""Patterns of the origins in `CORS_ORIGINS`."""


def init_app(app: Flask) -> None:
    """Allow the origins in `CORS_ORIGINS`, if any."""
    origins = app.config["CORS_ORIGINS"]
    if not origins:
        return
    CORS(
        app,
        # Compiled, because Flask-CORS treats a string with "*" or "[" as a pattern that need not match to the end.
        origins=patterns(origins),
        allow_headers=[*ALLOWED_HEADERS, *app.config["CORS_ALLOW_HEADERS"]],
        expose_headers=EXPOSED_HEADERS,
        max_age=MAX_AGE,
        always_send=False,
        vary_header=False,
    )
    app.after_request(_vary)


def patterns(origins: Iterable[str]) -> list[re.Pattern[str]]:
    """Return the patterns of the Origin headers that the entries of `CORS_ORIGINS` allow."""
    return [_pattern(origin) for origin in origins]


def error_headers(origin: str, allowed: Origins) -> dict[str, str]:
    """Return the headers of an answer that Flask does not make, so that the pages of an origin can read it."""
    if not allowed:
        return {}
    headers = {"Vary": "Origin"}
    if any(pattern.match(origin) for pattern in allowed):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = ", ".join(sorted(EXPOSED_HEADERS))
    return headers


def _pattern(origin: str) -> re.Pattern[str]:
    """Return the pattern of the Origin headers that an entry of `CORS_ORIGINS` allows.

    Args:
        origin: As `config.Settings` has it. ``*.`` stands for one or more subdomain labels.

    """
    return re.compile(re.escape(origin).replace(r"\*\.", r"(?:[a-z0-9_-]+\.)+") + r"\Z")


def _vary(response: Response) -> Response:
    # Also without an Origin header, because a cache must not serve one client's answer to another.
    response.vary.add("Origin")
    return response
