"""The ETag of a profile (RFC 9110, section 8.8.3): strong, and made without a look at the body.

Whatever changes a profile moves `updated_at` to a time it never was before, see `updates.set_fields`. What the profile
shows besides, of which other parts of the service may have their own idea, stands in the tag as well.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, request

from pixora.errors import PreconditionFailed
from pixora.web.blueprint import documented

View = TypeVar("View", bound=Callable[..., Any])

HEADERS = {"ETag": {"schema": {"type": "string"}, "required": True, "description": "Of this state of the profile."}}


def conditional_read(view: View) -> View:
    """dict[str, Any] that a view answers 304 to a client that has the profile, by `tagged`."""
    not_modified = {"304": {"description": "Not Modified", "headers": HEADERS}}
    return documented(parameters=[_parameter("If-None-Match", "304 if it is one of these.")], responses=not_modified)(
        view
    )


def conditional_write(view: View) -> View:
    """dict[str, Any] that a view can be made to change only what the client has seen, by `required_state`."""
    return documented(parameters=[_parameter("If-Match", "Refuse, with 412, if it is none of these.")])(view)


def _parameter(name: str, meaning: str) -> dict[str, Any]:
    description = f"ETags of a profile, or *. {meaning}"
    return {"in": "header", "name": name, "description": description, "schema": {"type": "string"}}


def etag(user: dict[str, Any]) -> str:
    """Return the tag of a profile, without its quotes."""
    moved = round(user["updated_at"].timestamp() * 1000)
    return f"{moved:x}-{user.get('email_verified', False):d}-{'.'.join(user.get('roles', ['user']))}"


def tagged(user: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]] | Response:
    """Return a profile with its ETag, or 304 where `If-None-Match` says that the client has it."""
    tag = etag(user)
    headers = {"ETag": f'"{tag}"'}
    if "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    return user, headers


def required_state(user: dict[str, Any]) -> dict[str, Any]:
    """Return what must still be so in the document for `If-Match` to hold (RFC 9110, section 13.1.1).

    Raises:
        PreconditionFailed: it does not even hold for the profile as it was read.

    """
    if "HTTP_IF_MATCH" not in request.environ:
        return {}
    if not request.if_match.contains(etag(user)):  # by the strong comparison
        raise PreconditionFailed
    return {} if request.if_match.star_tag else {"updated_at": user["updated_at"]}
