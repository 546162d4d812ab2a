"""`/api/admin/users`: the administration of users."""

from typing import Any

from flask import Response, g

from pixora.accounts.documents import User
from pixora.admin import accounts, invitations, listing, schemas, service
from pixora.admin.changes import Actor
from pixora.admin.errors import NotInvited, OwnAccount, UserDisabled
from pixora.auth.guards import require_admin
from pixora.auth.schemas import StatusMessageSchema
from pixora.database.client import Document
from pixora.errors import (
    EmailTaken,
    LastAdmin,
    Overloaded,
    PreconditionFailed,
    RateLimited,
    UserNotFound,
    ValidationFailed,
)
from pixora.users.schemas import SESSION_EXAMPLE, ListSchema, OwnSessionSchema
from pixora.web import etags, pagination
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

    Pass `next` as `after` to get the next page, with the same filters, until it is null. Profiles with much metadata
    make a page end before `limit`: it has at most 256 KiB of them, as MongoDB stores them. Users who are created or
    deleted meanwhile do not shift the pages.

    `total` is the number of users on all pages. Where filters match more than 1000, it is null, unless `total=true`
    asks for it: counting a million users takes a second.
    """
    return listing.list_users(query)


@blueprint.route("", methods=["POST"])
@require_admin
@fails(EmailTaken, RateLimited, Overloaded)
@blueprint.response(
    201,
    schemas.AdminUserSchema,
    example=schemas.CREATED_EXAMPLE,
    headers={"Location": {"schema": {"type": "string"}, "required": True, "description": "The URL of the user."}},
)
@blueprint.body(schemas.CreateUserSchema, example=schemas.CREATE_EXAMPLE)
def create_user(admin: User, body: dict[str, Any]) -> tuple[User, dict[str, str]]:
    """Create or invite a user.

    The fields follow the rules of the sign-up. Unless `email_verified` is true, the user gets an e-mail with a link
    that verifies the address.

    With `invite` instead of a password, the e-mail has a link to choose one, valid for 7 days, which verifies the
    address as well. Until then the user cannot log in.
    """
    by = _actor(admin)
    user = invitations.invite(body, by) if body["invite"] else accounts.create(body, by)
    return user, {"Location": f"/api/admin/users/{user['_id']}"}


@blueprint.route("/<user_id>")
@require_admin
@fails(UserNotFound)
@etags.conditional_read
@blueprint.response(200, schemas.AdminUserSchema, example=schemas.USER_EXAMPLE, headers=etags.HEADERS)
def get_user(admin: User, user_id: str) -> Any:
    """Read the profile of a user.

    It also says whether the user is disabled.
    """
    user = service.find(user_id)
    tag = etags.etag(user)
    headers = {"ETag": f'"{tag}"'}
    return Response(status=304, headers=headers) if etags.is_known(tag) else (user, headers)


@blueprint.route("/<user_id>", methods=["PATCH"])
@require_admin
@etags.conditional_write
@fails(UserNotFound, OwnAccount, EmailTaken, PreconditionFailed)
@blueprint.response(200, schemas.AdminUserSchema, example=schemas.CHANGED_EXAMPLE, headers=etags.HEADERS)
@blueprint.body(schemas.UserChangesSchema, example=schemas.CHANGES_EXAMPLE)
def change_user(admin: User, body: dict[str, Any], user_id: str) -> tuple[User, dict[str, str]]:
    """Change the profile of a user.

    Send the fields to change; the others stay, and null removes one that is not required. `metadata` and `app_metadata`
    are changed by JSON Merge Patch (RFC 7396). The user gets an e-mail about changes of other fields. A new e-mail
    address is not verified: the user gets a link at it, and links sent to the old one no longer work. Administrators
    change their own address at `/api/users/me/email`.
    """
    changed = accounts.edit(user_id, body, by=_actor(admin))
    return changed, {"ETag": f'"{etags.etag(changed)}"'}


@blueprint.route("/<user_id>", methods=["DELETE"])
@require_admin
@fails(UserNotFound, OwnAccount, LastAdmin)
@blueprint.response(204)
def delete_user(admin: User, user_id: str) -> None:
    """Delete a user and everything stored with the account.

    Nothing remains by which the user could be told: tell them yourself. Administrators delete their own account at
    `/api/users/me`.
    """
    accounts.delete(user_id, by=_actor(admin))


@blueprint.route("/<user_id>/verify", methods=["POST"])
@require_admin
@fails(UserNotFound, OwnAccount)
@blueprint.response(204)
def verify_user(admin: User, user_id: str) -> None:
    """Mark the e-mail address of a user as verified.

    Without a link: for an address that you know to be the user's.
    """
    accounts.verify(user_id, by=_actor(admin))


@blueprint.route("/<user_id>/invitation", methods=["POST"])
@require_admin
@fails(UserNotFound, NotInvited, UserDisabled, RateLimited)
@blueprint.response(202, StatusMessageSchema, example=schemas.INVITATION_MESSAGE)
def send_invitation(admin: User, user_id: str) -> dict[str, str]:
    """Send the invitation of a user again.

    The new link is valid for 7 days; earlier ones stop working.
    """
    invitations.send_again(user_id, by=_actor(admin))
    return schemas.INVITATION_MESSAGE


@blueprint.route("/<user_id>/invitation", methods=["DELETE"])
@require_admin
@fails(UserNotFound, NotInvited)
@blueprint.response(204)
def withdraw_invitation(admin: User, user_id: str) -> None:
    """Withdraw the invitation of a user.

    The link stops working, and the account is deleted: the address is free again.
    """
    invitations.withdraw(user_id, by=_actor(admin))


@blueprint.route("/<user_id>/password-reset", methods=["POST"])
@require_admin
@fails(UserNotFound, UserDisabled, RateLimited)
@blueprint.response(202, StatusMessageSchema, example=schemas.RESET_MESSAGE)
def send_password_reset(admin: User, user_id: str) -> dict[str, str]:
    """Send a user a link to choose a new password, valid for 30 minutes.

    The password and the sessions stay as they are until the user opens the link.
    """
    accounts.send_password_reset(user_id, by=_actor(admin))
    return schemas.RESET_MESSAGE


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
@blueprint.response(200, OwnSessionSchema(many=True), example=[SESSION_EXAMPLE])
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


def _actor(admin: User) -> Actor:
    return Actor(admin["_id"], g.session_id)
