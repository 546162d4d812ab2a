"""Cross-origin requests (CORS): which pages of other origins may call the API and read its answers.

Flask-CORS is not used: it compares each name in Access-Control-Request-Headers with each that is allowed, so 8 kB of
commas in a preflight, for which nobody logs in, took a worker 22 ms of CPU. The list of what is allowed is enough for a
browser, which does the comparing (Fetch Standard, "CORS-preflight fetch").
"""

import re
from collections.abc import Collection, Iterable
from functools import partial

from flask import Flask, Response, current_app, request

ALLOWED_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

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
    origins = patterns(app.config["CORS_ORIGINS"])
    if not origins:
        return
    headers = {
        "Access-Control-Allow-Methods": ", ".join(ALLOWED_METHODS),
        "Access-Control-Allow-Headers": ", ".join([*ALLOWED_HEADERS, *app.config["CORS_ALLOW_HEADERS"]]),
        "Access-Control-Max-Age": str(MAX_AGE),
    }
    app.before_request(partial(_answer_preflight, origins, headers))
    app.after_request(partial(_allow_reading, origins))


def patterns(origins: Iterable[str]) -> list[re.Pattern[str]]:
    """Return the patterns of the Origin headers that the entries of `CORS_ORIGINS` allow."""
    return [_pattern(origin) for origin in origins]


def answer_headers(origin: str, allowed: Origins) -> dict[str, str]:
    """Return the headers by which the pages of an origin can read an answer; none if it is not allowed."""
    if not _is_allowed(origin, allowed):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": ", ".join(EXPOSED_HEADERS),
    }


def _answer_preflight(allowed: Origins, headers: dict[str, str]) -> Response | None:
    """Answer a preflight of an allowed origin with 200, whatever the request itself will get.

    After a preflight with 404 a browser sends no request, and the page learns only that the network failed.
    """
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if not is_preflight or not _is_allowed(request.headers.get("Origin", ""), allowed):
        return None
    response = current_app.make_default_options_response()
    response.headers.update(headers)
    return response


def _allow_reading(allowed: Origins, response: Response) -> Response:
    """Let the pages of allowed origins read an answer."""
    response.headers.update(answer_headers(request.headers.get("Origin", ""), allowed))
    # Also without an Origin header, because a cache must not serve one client's answer to another.
    response.vary.add("Origin")
    return response


def _is_allowed(origin: str, allowed: Origins) -> bool:
    return any(pattern.match(origin) for pattern in allowed)


def _pattern(origin: str) -> re.Pattern[str]:
    """Return the pattern of the Origin headers that an entry of `CORS_ORIGINS` allows.

    Args:
        origin: As `config.Settings` has it. ``*.`` stands for one or more subdomain labels.

    """
    return re.compile(re.escape(origin).replace(r"\*\.", r"(?:[a-z0-9_-]+\.)+") + r"\Z")
