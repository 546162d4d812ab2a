"""Answers requests that never reach the application, in the format of all other errors; counts and logs them.

Neither the answer nor the log quotes the request, which may contain a secret.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from pixora.errors import MalformedBody, PayloadTooLarge
from pixora.observability import metrics
from pixora.server.bodies import Refused
from pixora.web.cors import Origins, answer_headers
from pixora.web.middleware import REQUEST_ID, new_request_id
from pixora.web.problems import HTTP_DETAILS, MEDIA_TYPE, code_of, problem, title

DETAILS = {
    408: "The request did not come in whole in time.",
    413: PayloadTooLarge.detail,
    414: "The address is too long.",
    417: "The server can only be expected to continue.",
    431: "The header fields are too many or too large.",
    501: "The method or the transfer coding is not known here.",
    505: "The server speaks HTTP/1.0 and HTTP/1.1.",
}
logger = logging.getLogger("gunicorn.error")


def refusal(
    refused: Refused, environment: Mapping[str, Any], client: str, origins: Origins, cause: BaseException | None = None
) -> bytes:
    """Return the whole answer, after which the connection must be closed.

    Args:
        refused: Why the request is rejected.
        environment: The WSGI environment of the request, as far as it was read.
        client: The client's IP address.
        origins: Patterns of the origins whose pages may read the answer.
        cause: Our own failure, if it is not the client's.

    """
    status = refused.status
    given = environment.get("HTTP_X_REQUEST_ID", "")
    request_id = given if REQUEST_ID.fullmatch(given) else new_request_id()
    metrics.request_duration(metrics.NO_ROUTE, metrics.OTHER, int(status)).observe(0)
    extra = {
        "event": "request",
        "request_id": request_id,
        "route": metrics.NO_ROUTE,
        "status": int(status),
        "client": client or None,
    }
    if cause is not None:
        logger.error("Failed outside of the application", exc_info=cause, extra=extra)
    else:
        logger.warning("Could not read a request", extra=extra)
    detail = DETAILS.get(status) or HTTP_DETAILS.get(status) or f"{title(status)}."
    if refused.code == MalformedBody.code:
        detail = MalformedBody.detail
    body = json.dumps(problem(status, refused.code or code_of(status), detail, request_id)) + "\n"
    for_pages = answer_headers(environment.get("HTTP_ORIGIN", ""), origins)
    if origins:
        for_pages["Vary"] = "Origin"
    head = (
        f"HTTP/1.1 {status.value} {title(status)}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in for_pages.items())
        + "Connection: close\r\n\r\n"
    )
    return (head + body).encode()
