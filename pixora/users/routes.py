"""`/api/users`: one's own profile, sessions, password, e-mail and data."""

from typing import Any

from flask import Response, g, request

from pixora import clock
from pixora.accounts.documents import User
from pixora.auth import email_change
from pixora.auth.guards import require_recent_second_factor, require_user
from pixora.auth.schemas import PASSWORD_EXAMPLE, StatusMessageSchema
from pixora.database.client import Document
from pixora.errors import (
    EmailTaken,
    LastAdmin,
    NotYourProfile,
    Overloaded,
    PreconditionFailed,
    RateLimited,
    SessionNotFound,
    ValidationFailed,
    WrongPassword,
)
from pixora.services import services
from pixora.users import deletion, events, export, export_schemas, password, profile, representation, schemas
from pixora.users.schemas import EXAMPLE, ProfileSchema, UserSessionSchema
from pixora.web import etags, pagination
from pixora.web.blueprint import Blueprint, fails
from pixora.web.fields import LIMIT_MESSAGE

blueprint = Blueprint("users", __name__, url_prefix="/api/users", description="One's own account")


@blueprint.route("/me")
@require_user
@etags.conditional_read
@blueprint.finished_response(200, ProfileSchema, example=EXAMPLE, headers=etags.HEADERS)
def get_me(user: User) -> Response:
    """Read one's own profile.

    Send the `ETag` of the last answer in `If-None-Match`: while the profile has not changed, the answer is 304.
    """
    return representation.respond(user)


@blueprint.route("/<user_id>", "getMeById")
@require_user
@fails(NotYourProfile)
@etags.conditional_read
@blueprint.finished_response(200, ProfileSchema, example=EXAMPLE, headers=etags.HEADERS)
def get_user(user: User, user_id: str) -> Response:
    """Read one's own profile by id.

    Any other id gets 403, whether or not it exists.
    """
    if user_id != user["_id"]:
        raise NotYourProfile
    return representation.respond(user)


@blueprint.route("/me", methods=["PATCH"])
@require_user
@etags.conditional_write
@fails(PreconditionFailed)
@blueprint.response(200, ProfileSchema, example=schemas.CHANGED_EXAMPLE, headers=etags.HEADERS)
@blueprint.body(schemas.ProfileChangesSchema, example=schemas.CHANGES_EXAMPLE)
def change_me(user: User, fields: dict[str, Any]) -> tuple[User, dict[str, str]]:
    """Change one's name, telephone number, birthday or metadata.

    Send the fields to change; the others stay, and null removes one that is not required. With `If-Match`, nothing
    changes if the profile is no longer in the state of that ETag.

    `metadata` is a free JSON object for your application, changed by JSON Merge Patch (RFC 7396): send the names to
    change, at any depth, and null for those to remove. Parallel changes of different names are all kept.
    """
    changed = profile.change_profile(user, g.session_id, fields)
    return changed, {"ETag": f'"{etags.etag(changed)}"'}


@blueprint.route("/me", methods=["DELETE"])
@require_recent_second_factor
@fails(WrongPassword, LastAdmin, RateLimited, Overloaded)
@blueprint.response(204)
@blueprint.body(schemas.DeleteAccountSchema, example=PASSWORD_EXAMPLE)
def delete_me(user: User, body: dict[str, str]) -> None:
    """Delete one's account and everything stored with it.

    The last administrator must first make another user an administrator. A user without a password sends `{}`, after a
    recent login.
    """
    deletion.delete_account(user, g.session_id, body.get("password"), request.remote_addr)


@blueprint.route("/me/password", methods=["POST"])
@require_recent_second_factor
@fails(WrongPassword, RateLimited, Overloaded)
@blueprint.response(204)
@blueprint.body(schemas.ChangePasswordSchema, example=schemas.CHANGE_PASSWORD_EXAMPLE)
def change_password(user: User, body: dict[str, str]) -> None:
    """Change one's password.

    Ends every other session and a pending change of the e-mail address; a link to reset the password stays valid. The
    owner gets an e-mail. This session goes on: refresh its tokens right afterwards, to make any copy of them worthless.

    A user without a password gets one this way: leave `current_password` out, after a recent login.
    """
    current, new = body.get("current_password"), body["new_password"]
    password.change_password(user, g.session_id, current, new, request.remote_addr)


@blueprint.route("/me/email", methods=["POST"])
@require_recent_second_factor
@fails(WrongPassword, EmailTaken, RateLimited, Overloaded)
@blueprint.response(202, StatusMessageSchema, example=schemas.CHANGE_EMAIL_MESSAGE)
@blueprint.body(schemas.ChangeEmailSchema, example=schemas.CHANGE_EMAIL_EXAMPLE)
def change_email(user: User, body: dict[str, str]) -> dict[str, str]:
    """Request a change of one's e-mail address.

    The change takes effect when the link sent to the new address is confirmed, within 24 hours, unless a session is
    ended or a credential changed meanwhile. The old address gets a notice now, and again then. If the service hides who
    has an account (`ENUMERATION_SAFE`), the answer is the same for an address that is taken, and its owner gets an
    e-mail instead. A user without a password leaves it out, after a recent login.
    """
    email_change.request_change(user, g.session_id, body.get("password"), body["email"], request.remote_addr)
    return schemas.CHANGE_EMAIL_MESSAGE


@blueprint.route("/me/export")
@require_user
@blueprint.response(
    200,
    export_schemas.ExportSchema,
    example=export_schemas.EXPORT_EXAMPLE,
    headers={"Content-Disposition": {"schema": {"type": "string"}, "required": True}},
)
def export_me(user: User) -> tuple[Document, dict[str, str]]:
    """Download everything stored about oneself, except secrets.

    Browsers save the answer as a file.
    """
    document, now = services.users.find_everything(user["_id"], g.session_id), clock.utcnow()
    return export.export(document, now), {"Content-Disposition": f'attachment; filename="pixora-{now:%Y-%m-%d}.json"'}


@blueprint.route("/me/events")
@require_user
@fails(ValidationFailed({"limit": [LIMIT_MESSAGE]}))
@blueprint.response(200, schemas.SecurityEventPageSchema, example=schemas.EVENTS_EXAMPLE)
@blueprint.arguments(schemas.ListSchema, location="query")
def list_events(user: User, query: dict[str, Any]) -> pagination.Page:
    """List the security events of one's account, newest first.

    Such as logins, wrong passwords, changes, ended sessions, and what administrators did. For the next page, pass
    `next` as `after`. The service keeps events for a year by default.
    """
    return events.page(user["_id"], query["limit"], query.get("after"))


@blueprint.route("/me/sessions")
@require_user
@blueprint.response(200, UserSessionSchema(many=True), example=[schemas.SESSION_EXAMPLE | {"current": True}])
def list_sessions(user: User) -> list[Document]:
    """List one's own sessions, most recently used first.

    Each login opens a session, on one device. Expired sessions are not listed.
    """
    active = services.sessions.list_active(user["_id"], clock.utcnow(), by=g.session_id)
    return [session | {"current": session["id"] == g.session_id} for session in active]


@blueprint.route("/me/sessions", methods=["DELETE"])
@require_user
@fails(ValidationFailed({"current": ["Not a valid boolean."]}))
@blueprint.response(204)
@blueprint.arguments(schemas.EndSessionsSchema, location="query")
def end_sessions(user: User, query: dict[str, bool]) -> None:
    """End all of one's other sessions.

    With `current=true` the current one ends as well. Their access and refresh tokens stop working at once, and a
    pending change of the e-mail address ends.
    """
    if services.sessions.end_all(user["_id"], by=g.session_id, keep=None if query["current"] else g.session_id):
        services.audit.record("sessions_ended", user["_id"])


@blueprint.route("/me/sessions/<session_id>", methods=["DELETE"])
@require_user
@fails(SessionNotFound)
@blueprint.response(204)
def end_session(user: User, session_id: str) -> None:
    """End one of one's own sessions.

    Its access and refresh tokens stop working at once, and a pending change of the e-mail address ends.
    """
    if not services.sessions.end(user["_id"], session_id, by=g.session_id):
        services.sessions.require(user["_id"], g.session_id)
        raise SessionNotFound
    services.audit.record("session_ended", user["_id"], session_id=session_id)
