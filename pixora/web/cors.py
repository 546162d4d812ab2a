"""Cross-origin requests (CORS): which pages of other origins may call the API and read its answers."""

import re
from collections.abc import Collection, Iterable
from functools import partial

from flask import Flask, Response, current_app, request
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
    """Allow the origins in `CORS_ORIGINS`, if any. Call it before other hooks that may reject a request."""
    # Compiled, because Flask-CORS treats a string with "*" or "[" as a pattern that need not match to the end.
    origins = patterns(app.config["CORS_ORIGINS"])
    if not origins:
        return
    app.before_request(partial(_answer_preflight, origins))
    CORS(
        app,
        origins=origins,
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
    if _is_allowed(origin, allowed):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = ", ".join(sorted(EXPOSED_HEADERS))
    return headers


def _answer_preflight(allowed: Origins) -> Response | None:
    """Answer a preflight of an allowed origin with 200, whatever the request itself will get.

    After a preflight with 404 a browser sends no request, and the page learns only that the network failed.
    """
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if is_preflight and _is_allowed(request.headers.get("Origin", ""), allowed):
        return current_app.make_default_options_response()
    return None


def _is_allowed(origin: str, allowed: Origins) -> bool:
    return any(pattern.match(origin) for pattern in allowed)


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
