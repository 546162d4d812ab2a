"""`/api/admin/users`: the administration of users."""

from typing import Any

from flask import g

from pixora.accounts.documents import User
from pixora.admin import listing, schemas, service
from pixora.auth.guards import require_admin
from pixora.database.client import Document
from pixora.errors import LastAdmin, UserNotFound, ValidationFailed
from pixora.users.schemas import ListSchema, OwnSessionSchema
from pixora.web import pagination
from pixora.web.blueprint import Blueprint, fails
from pixora.web.fields import LIMIT_MESSAGE

blueprint = Blueprint(
    "admin", __name__, url_prefix="/api/admin/users", description="Administer all users; requires the role admin"
)


@blueprint.route("")
@require_admin
@fails(ValidationFailed({"limit": [LIMIT_MESSAGE]}))
@blueprint.response(200, schemas.UserPageSchema, example=schemas.PAGE_EXAMPLE)
@blueprint.arguments(schemas.ListUsersSchema, location="query")
def list_users(admin: User, query: dict[str, Any]) -> listing.UserPage:
    """List the users, page by page.

    Users are ordered by id, which is the order of their sign-ups. With `email`, only users whose e-mail address begins
    with it are listed, ordered by address; case is ignored, except for addresses that the FastAPI service stored in
    mixed case: until `db upgrade` has run, these match only as stored. With `created_after` or `created_before`, users
    are ordered by the time of their creation. Other filters keep the order, and can be combined. An index for each
    filter makes a page fast among millions of users.

    Pass `next` as `after` to get the next page, with the same filters. Users who are created or deleted meanwhile do
    not shift the pages.

    `total` is the number of users on all pages. Where filters match more than 1000, it is null, unless `total=true`
    asks for it: counting a million users takes a second.
    """
    return listing.list_users(query)


@blueprint.route("/<user_id>")
@require_admin
@fails(UserNotFound)
@blueprint.response(200, schemas.AdminUserSchema, example=schemas.USER_EXAMPLE)
def get_user(admin: User, user_id: str) -> User:
    """Read the profile of a user.

    It also says whether the user is disabled.
    """
    return service.find(user_id)


@blueprint.route("/<user_id>/disable", methods=["POST"])
@require_admin
@fails(UserNotFound, LastAdmin)
@blueprint.response(204)
def disable_user(admin: User, user_id: str) -> None:
    """Disable a user.

    All sessions and the links in e-mails end at once, and logins are rejected as if the password were wrong. The last
    enabled administrator cannot be disabled.
    """
    service.disable(user_id, by=_actor(admin))


@blueprint.route("/<user_id>/enable", methods=["POST"])
@require_admin
@fails(UserNotFound)
@blueprint.response(204)
def enable_user(admin: User, user_id: str) -> None:
    """Enable a user.

    The user has to log in again, with the same password as before.
    """
    service.enable(user_id, by=_actor(admin))


@blueprint.route("/<user_id>/events", "listUserEvents")
@require_admin
@fails(UserNotFound, ValidationFailed({"limit": [LIMIT_MESSAGE]}))
@blueprint.response(200, schemas.AdminEventPageSchema, example=schemas.EVENTS_EXAMPLE)
@blueprint.arguments(ListSchema, location="query")
def list_events(admin: User, query: dict[str, Any], user_id: str) -> pagination.Page:
    """List the security events of a user, newest first.

    As the user sees them, with the administrator's id, or `command`, as `by`, and with the network of administrators.
    """
    return listing.list_events(user_id, query["limit"], query.get("after"))


@blueprint.route("/<user_id>/sessions", "listUserSessions")
@require_admin
@fails(UserNotFound)
@blueprint.response(200, OwnSessionSchema(many=True), example=[schemas.SESSION_EXAMPLE])
def list_sessions(admin: User, user_id: str) -> list[Document]:
    """List the sessions of a user, most recently used first.

    Each login opens a session, on one device. Expired sessions are not listed.
    """
    return listing.list_sessions(user_id)


@blueprint.route("/<user_id>/sessions", "endUserSessions", methods=["DELETE"])
@require_admin
@fails(UserNotFound)
@blueprint.response(204)
def end_sessions(admin: User, user_id: str) -> None:
    """End all sessions of a user.

    Their access and refresh tokens stop working at once, on every device. The user can log in again.
    """
    service.end_sessions(user_id, by=_actor(admin))


@blueprint.route("/<user_id>/roles", "setUserRoles", methods=["PUT"])
@require_admin
@fails(UserNotFound, LastAdmin)
@blueprint.response(200, schemas.AdminUserSchema, example=schemas.ADMIN_EXAMPLE)
@blueprint.body(schemas.RolesSchema, example=schemas.ROLES_EXAMPLE)
def set_roles(admin: User, body: dict[str, list[str]], user_id: str) -> User:
    """Replace the roles of a user, from the next request on.

    The last enabled administrator cannot lose the role `admin`.
    """
    return service.set_roles(user_id, body["roles"], by=_actor(admin))


def _actor(admin: User) -> service.Actor:
    return service.Actor(admin["_id"], g.session_id)
