"""`/api/admin/users`: what administrators do with the accounts of others."""

from typing import Any

from pixora.admin import schemas, service
from pixora.auth.guards import require_admin
from pixora.database.client import Document
from pixora.errors import LastAdmin, UserNotFound, ValidationFailed
from pixora.web import pagination
from pixora.web.blueprint import Blueprint, fails
from pixora.web.fields import LIMIT_MESSAGE

blueprint = Blueprint(
    "admin", __name__, url_prefix="/api/admin/users", description="All users, for those with the role `admin`"
)


@blueprint.route("")
@require_admin
@fails(ValidationFailed({"limit": [LIMIT_MESSAGE]}))
@blueprint.response(200, schemas.UserPageSchema, example=schemas.PAGE_EXAMPLE)
@blueprint.arguments(schemas.ListUsersSchema, location="query")
def list_users(admin: Document, query: dict[str, Any]) -> pagination.Page:
    """List the users, page by page.

    In the order of their ids, which is that of sign-ups. With `email`, those whose address begins so, in the order
    of their addresses, by an index: it is quick among millions. The case does not matter, but for an address that the
    FastAPI service has stored in mixed case: it is found by that spelling until `db upgrade` has run.

    Pass `next` as `after` for the next page; users who come and go meanwhile do not shift the pages.
    """
    return service.page(query["limit"], query.get("after"), query.get("email"))


@blueprint.route("/<user_id>")
@require_admin
@fails(UserNotFound)
@blueprint.response(200, schemas.AdminUserSchema, example=schemas.USER_EXAMPLE)
def get_user(admin: Document, user_id: str) -> Document:
    """Read the profile of a user."""
    return service.find(user_id)


@blueprint.route("/<user_id>/disable", methods=["POST"])
@require_admin
@fails(UserNotFound, LastAdmin)
@blueprint.response(204)
def disable_user(admin: Document, user_id: str) -> None:
    """Shut a user out, at once.

    All sessions end, and so do the links in letters. Logging in is answered as a wrong password is. The last
    administrator who is not disabled cannot be.
    """
    service.disable(user_id, by=admin["_id"])


@blueprint.route("/<user_id>/enable", methods=["POST"])
@require_admin
@fails(UserNotFound)
@blueprint.response(204)
def enable_user(admin: Document, user_id: str) -> None:
    """Let a user in again, who has to log in anew."""
    service.enable(user_id, by=admin["_id"])


@blueprint.route("/<user_id>/sessions", methods=["DELETE"])
@require_admin
@fails(UserNotFound)
@blueprint.response(204)
def end_sessions(admin: Document, user_id: str) -> None:
    """End all sessions of a user, at once and everywhere."""
    service.end_sessions(user_id, by=admin["_id"])


@blueprint.route("/<user_id>/roles", methods=["PUT"])
@require_admin
@fails(UserNotFound, LastAdmin)
@blueprint.response(200, schemas.AdminUserSchema, example=schemas.ADMIN_EXAMPLE)
@blueprint.body(schemas.RolesSchema, example=schemas.ROLES_EXAMPLE)
def set_roles(admin: Document, body: dict[str, list[str]], user_id: str) -> Document:
    """Give a user these roles and no others, from the next request on.

    The last administrator who is not disabled stays one.
    """
    return service.set_roles(user_id, body["roles"], by=admin["_id"])
