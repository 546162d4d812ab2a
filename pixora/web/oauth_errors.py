"""Errors as OAuth clients expect them: `error` and `error_description` (RFC 6749, section 5.2).

The endpoints of the standards answer with these two members alone. Routes that OAuth clients may use as well, such as
the login, answer with a problem that also has them.
"""

import re
from enum import Enum
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/json"

ERRORS = {
    "invalid_credentials": "invalid_grant",
    "invalid_grant": "invalid_grant",
    "invalid_client": "invalid_client",
    "unsupported_grant_type": "unsupported_grant_type",
    "email_not_verified": "email_not_verified",
    "mfa_required": "mfa_required",
    "invalid_code": "invalid_grant",
    "invalid_mfa_token": "invalid_grant",
    "second_factor_unavailable": "temporarily_unavailable",
    "rate_limited": "rate_limited",
    "overloaded": "temporarily_unavailable",
    "database_unavailable": "temporarily_unavailable",
    "internal_server_error": "server_error",
}
"""The `error` for each `code` of a problem; `invalid_request` for all others."""

FURTHER = "mfa_token", "expires_in", "methods"
"""Members with which a client completes a login by a second factor."""

LONGEST = 400
"""The most characters of an `error_description`: the names of wrong fields may be long."""

_NOT_ALLOWED = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""What RFC 6749 does not allow in an `error_description`."""


class ErrorFormat(Enum):
    """The format of the errors of a route."""

    PROBLEM = "problem"
    PROBLEM_FOR_OAUTH = "problem, with the members of RFC 6749"
    OAUTH = "RFC 6749"


def members(problem: dict[str, Any]) -> dict[str, Any]:
    """Return the `error` and `error_description` of a problem, and what a client needs to go on."""
    details = [f"{field}: {' '.join(messages)}" for field, messages in problem.get("errors", {}).items()]
    description = " ".join(details) or problem["detail"]
    further = {name: problem[name] for name in FURTHER if name in problem}
    return further | {
        "error": ERRORS.get(problem["code"], "invalid_request"),
        "error_description": _NOT_ALLOWED.sub("?", description.replace('"', "'")[:LONGEST]),
    }


def status(problem: dict[str, Any]) -> int:
    """Return the status of a problem at an endpoint of the standard.

    400 for a faulty request or grant; 401 only for client authentication.
    """
    is_client = problem["code"] == "invalid_client"
    refused = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)
    return int(HTTPStatus.BAD_REQUEST if problem["status"] in refused and not is_client else problem["status"])
