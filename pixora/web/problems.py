"""The one renderer of errors: `application/problem+json` (RFC 9457), whatever the cause."""

import re
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, json
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from pixora.errors import NotFound, PayloadTooLarge, PixoraError
from pixora.web.middleware import request_id

MEDIA_TYPE = "application/problem+json"

HTTP_DETAILS = {
    400: "The request is malformed.",
    404: NotFound.detail,
    405: "This method is not allowed at this URL. The Allow header lists those that are.",
    500: "An internal error occurred. Quote the request_id when you report it.",
}
"""Our words for the errors that come from Flask and Werkzeug, whose own may quote the request."""


TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""By RFC 9110; before 3.13 Python has older ones."""


def init_app(app: Flask) -> None:
    """Answer every error of `app` with a problem."""
    app.register_error_handler(PixoraError, from_error)
    app.register_error_handler(HTTPException, from_http)


def document(error: PixoraError | type[PixoraError], request_id: str) -> dict[str, Any]:
    """Return the body of a problem: `type`, `title`, `status`, `detail`, `code`, `request_id`, `errors`."""
    body = _document(error.status, error.code, error.detail, request_id)
    errors = getattr(error, "errors", None)
    return body | {"errors": errors} if errors else body


def from_error(error: PixoraError) -> Response:
    """Render one of our own errors."""
    retry_after = getattr(error, "retry_after", None)
    headers = error.headers | {"Retry-After": str(retry_after)} if retry_after else error.headers
    return _response(document(error, request_id()), headers)


def from_http(error: HTTPException) -> Response | HTTPException:
    """Render an error of Flask's or Werkzeug's; redirects pass."""
    if error.code is None or error.code < 400:
        return error
    if isinstance(error, RequestEntityTooLarge):
        return from_error(PayloadTooLarge())
    status = HTTPStatus(error.code)
    body = _document(status, _snake_case(title(status)), HTTP_DETAILS.get(status, title(status) + "."), request_id())
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    return _response(body, headers)


def title(status: HTTPStatus) -> str:
    """Return the name of a status."""
    return TITLES.get(status, status.phrase)


def _document(status: HTTPStatus, code: str, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": "about:blank",  # RFC 9457, section 4.2.1: the title is the status phrase; `code` tells more
        "title": title(status),
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


def _response(body: dict[str, Any], headers: dict[str, str]) -> Response:
    text = json.dumps(body) + "\n"  # as jsonify ends its own, for the terminal's sake
    return current_app.response_class(text, body["status"], headers, content_type=MEDIA_TYPE)


def _snake_case(phrase: str) -> str:
    return re.sub(r"[^a-z]+", "_", phrase.lower()).strip("_")
