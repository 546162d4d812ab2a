"""Nothing but an answer of two bytes: what gunicorn and uvicorn themselves take."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

BODY = b"{}"


def wsgi(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    """Say hello under gunicorn."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [BODY]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Say hello under uvicorn."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})
