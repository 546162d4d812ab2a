"""The ETag of a profile (RFC 9110, section 8.8.3): strong, and computed without serializing the profile.

Every change of a profile sets `updated_at` to a new time, see `accounts.updates.set_fields`. Fields of the profile that
change independently of it are part of the tag.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from flask import request

from pixora.errors import PreconditionFailed
from pixora.web.application import current
from pixora.web.blueprint import documented

View = TypeVar("View", bound=Callable[..., Any])

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

HEADERS = {"ETag": {"schema": {"type": "string"}, "required": True, "description": "Of this state of the profile."}}


def conditional_read(view: View) -> View:
    """Document that a view answers 304 by `If-None-Match`, see `is_known`."""
    not_modified = {"304": {"description": "Not Modified", "headers": HEADERS}}
    parameter = _parameter("If-None-Match", "Answers 304 if the current one is among them.")
    return documented(parameters=[parameter], responses=not_modified)(view)


def conditional_write(view: View) -> View:
    """Document that a view answers 412 by `If-Match`, see `required_state`."""
    return documented(parameters=[_parameter("If-Match", "Answers 412 if the current one is not among them.")])(view)


def _parameter(name: str, meaning: str) -> dict[str, Any]:
    description = f"ETags of a profile, or *. {meaning}"
    return {"in": "header", "name": name, "description": description, "schema": {"type": "string"}}


def etag(user: Mapping[str, Any]) -> str:
    """Return the ETag of a profile, without quotes."""
    updated = (user["updated_at"] - EPOCH) // MILLISECOND
    return f"{updated:x}-{user.get('email_verified', False):d}-{'.'.join(user.get('roles', ['user']))}"


def is_known(tag: str) -> bool:
    """Tell whether the client has this state already: `If-None-Match` has its ETag."""
    return "HTTP_IF_NONE_MATCH" in current(request).environ and request.if_none_match.contains_weak(tag)


def required_state(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return the condition on the document under which `If-Match` holds (RFC 9110, section 13.1.1).

    Raises:
        PreconditionFailed: it does not hold for the profile as read.

    """
    if "HTTP_IF_MATCH" not in request.environ:
        return {}
    if not request.if_match.contains(etag(user)):  # strong comparison
        raise PreconditionFailed
    return {} if request.if_match.star_tag else {"updated_at": user["updated_at"]}
