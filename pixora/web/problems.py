"""The one renderer of errors: `application/problem+json` (RFC 9457), and the format of OAuth where a route has it."""

import re
from http import HTTPStatus
from typing import Any

import marshmallow as ma
from flask import Response, current_app, json, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from pixora.errors import BadRequest, NotFound, PayloadTooLarge, PixoraError
from pixora.web import oauth_errors
from pixora.web.middleware import request_id
from pixora.web.oauth_errors import ErrorFormat

MEDIA_TYPE = "application/problem+json"

HTTP_DETAILS = {
    400: BadRequest.detail,
    404: NotFound.detail,
    405: "This method is not allowed at this URL. The Allow header lists those that are.",
    500: "An internal error occurred. Quote the request_id when you report it.",
}
"""For errors raised by Flask and Werkzeug, whose own descriptions may quote the request."""

TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""The status phrases of RFC 9110; Python has older ones before 3.13."""


class SecondStepSchema(ma.Schema):
    """What an error with the code `mfa_required` has besides."""

    mfa_token = ma.fields.String(metadata={"description": "With mfa_required: for `POST /api/auth/mfa`."})
    expires_in = ma.fields.Integer(metadata={"description": "With mfa_required: the seconds that mfa_token is valid."})
    methods = ma.fields.List(ma.fields.String(), metadata={"description": "With mfa_required: what the user can send."})


class ProblemSchema(SecondStepSchema):
    """An error."""

    class Meta:
        title = "Problem"

    type = ma.fields.String(required=True, metadata={"description": "A URI reference that names the kind of problem."})
    title = ma.fields.String(required=True, metadata={"description": "The status phrase."})
    status = ma.fields.Integer(required=True, metadata={"description": "The HTTP status."})
    detail = ma.fields.String(required=True, metadata={"description": "What happened and what to do, for people."})
    code = ma.fields.String(
        required=True, metadata={"description": "A stable word for programs.", "pattern": "^[a-z_]+$"}
    )
    request_id = ma.fields.String(
        required=True, metadata={"description": "The X-Request-ID of the response, which our log lines have as well."}
    )
    errors = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.List(ma.fields.String()),
        metadata={"description": "With the code validation_failed: messages by the name of the field."},
    )
    error = ma.fields.String(
        metadata={"description": "The error of RFC 6749, section 5.2, at the routes that OAuth clients may use."}
    )
    error_description = ma.fields.String(metadata={"description": "Beside error: the detail, in ASCII."})


class OAuthErrorSchema(SecondStepSchema):
    """An error of an endpoint for OAuth clients (RFC 6749, section 5.2)."""

    class Meta:
        title = "OAuthError"

    error = ma.fields.String(required=True, metadata={"description": "A stable word for programs. More may be added."})
    error_description = ma.fields.String(required=True, metadata={"description": "What happened, for developers."})


def document(error: PixoraError | type[PixoraError], request_id: str) -> dict[str, Any]:
    """Return the body of a problem."""
    body = problem(error.status, error.code, error.detail, request_id)
    errors = getattr(error, "errors", None)
    body |= getattr(error, "extensions", {})  # RFC 9457, section 3.2: members that only this problem has
    return body | {"errors": errors} if errors else body


def from_error(error: PixoraError) -> Response:
    """Render one of our own errors."""
    retry_after = getattr(error, "retry_after", None)
    headers = error.headers | {"Retry-After": str(retry_after)} if retry_after else error.headers
    return _response(document(error, request_id()), headers)


def from_http(error: HTTPException) -> Response | HTTPException:
    """Render an error of Flask or Werkzeug; return redirects unchanged."""
    if error.code is None or error.code < 400:
        return error
    if isinstance(error, RequestEntityTooLarge):
        return from_error(PayloadTooLarge())
    status = HTTPStatus(error.code)
    body = problem(status, code_of(status), HTTP_DETAILS.get(status, title(status) + "."), request_id())
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    return _response(body, headers)


def title(status: HTTPStatus) -> str:
    """Return the phrase of a status."""
    return TITLES.get(status, status.phrase)


def code_of(status: HTTPStatus) -> str:
    """Return the `code` of a problem that has no other cause to name than its status."""
    return re.sub(r"[^a-z]+", "_", title(status).lower()).strip("_")


def problem(status: HTTPStatus, code: str, detail: str, request_id: str) -> dict[str, Any]:
    """Return the body of a problem of these words."""
    return {
        "type": "about:blank",  # RFC 9457, section 4.2.1: the title is the status phrase
        "title": title(status),
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


def in_format(problem: dict[str, Any], error_format: ErrorFormat) -> tuple[int, str, dict[str, Any]]:
    """Return status, media type and body of a problem in the format of a route."""
    match error_format:
        case ErrorFormat.OAUTH:
            return oauth_errors.status(problem), oauth_errors.MEDIA_TYPE, oauth_errors.members(problem)
        case ErrorFormat.PROBLEM_FOR_OAUTH:
            return problem["status"], MEDIA_TYPE, problem | oauth_errors.members(problem)
        case _:
            return problem["status"], MEDIA_TYPE, problem


def _response(problem: dict[str, Any], headers: dict[str, str]) -> Response:
    view = current_app.view_functions.get(request.endpoint or "")
    status, media_type, body = in_format(problem, getattr(view, "error_format", ErrorFormat.PROBLEM))
    if status != HTTPStatus.UNAUTHORIZED:
        headers = {name: value for name, value in headers.items() if name != "WWW-Authenticate"}
    text = json.dumps(body) + "\n"  # for terminals, as jsonify does
    return current_app.response_class(text, status, headers, content_type=media_type)
