"""`/api/users`: one's own profile, sessions and data."""

from typing import Any

from flask import g

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.sessions import in_session
from pixora.auth.guards import require_user
from pixora.database.client import Document
from pixora.errors import InvalidToken, NotYourProfile, PreconditionFailed, SessionNotFound, ValidationFailed
from pixora.services import services
from pixora.users import events, export, schemas
from pixora.users.schemas import EXAMPLE, SESSION_EXAMPLE, EndSessionsSchema, ProfileSchema, SessionSchema
from pixora.web import etags, pagination
from pixora.web.blueprint import Blueprint, fails
from pixora.web.fields import LIMIT_MESSAGE

blueprint = Blueprint("users", __name__, url_prefix="/api/users", description="One's own profile and sessions")


@blueprint.route("/me")
@require_user
@etags.conditional_read
@blueprint.response(200, ProfileSchema, example=EXAMPLE, headers=etags.HEADERS)
def get_me(user: Document) -> Any:
    """Read one's own profile."""
    return etags.tagged(user)


@blueprint.route("/me", methods=["PATCH"])
@require_user
@etags.conditional_write
@fails(PreconditionFailed)
@blueprint.response(200, ProfileSchema, example=EXAMPLE, headers=etags.HEADERS)
@blueprint.body(schemas.ProfileChangesSchema, example=schemas.CHANGES_EXAMPLE)
def change_me(user: Document, fields: dict[str, str]) -> tuple[Document, dict[str, str]]:
    """Change one's name, telephone number or birthday: at least one of them, the others stay.

    With `If-Match`, only if the profile is still as it was read.
    """
    required = etags.required_state(user)
    stage = updates.set_fields(fields, clock.utcnow())
    changed = services.users.update_profile(user["_id"], stage, **required, **in_session(g.session_id))
    if changed is None:
        services.sessions.require(user["_id"], g.session_id)
        raise PreconditionFailed
    return changed, {"ETag": f'"{etags.etag(changed)}"'}


@blueprint.route("/me/export")
@require_user
@blueprint.response(
    200,
    schemas.ExportSchema,
    example=schemas.EXPORT_EXAMPLE,
    headers={"Content-Disposition": {"schema": {"type": "string"}, "required": True}},
)
def export_me(user: Document) -> tuple[Document, dict[str, str]]:
    """Export all that is stored about oneself, but secrets, as a file."""
    everything = services.users.find_everything(user["_id"], g.session_id)
    if everything is None:
        raise InvalidToken  # the session has ended, or the user is gone
    now = clock.utcnow()
    return export.export(everything, now), {"Content-Disposition": f'attachment; filename="pixora-{now:%Y-%m-%d}.json"'}


@blueprint.route("/me/events")
@require_user
@fails(ValidationFailed({"limit": [LIMIT_MESSAGE]}))
@blueprint.response(200, schemas.EventPageSchema, example=schemas.EVENTS_EXAMPLE)
@blueprint.arguments(schemas.ListSchema, location="query")
def list_events(user: Document, query: dict[str, Any]) -> pagination.Page:
    """List what has happened to one's account, the newest first.

    Logins, right and wrong, changes, sessions that were ended, and what administrators did. Pass `next` as `after` for
    the next page. Events are kept for as long as the service is set to, a year by default.
    """
    return events.page(user["_id"], query["limit"], query.get("after"))


@blueprint.route("/<user_id>")
@require_user
@fails(NotYourProfile)
@etags.conditional_read
@blueprint.response(200, ProfileSchema, example=EXAMPLE, headers=etags.HEADERS)
def get_user(user: Document, user_id: str) -> Any:
    """Read a profile by id: one's own.

    Every other id is answered with 403, whether or not it exists and however it is formed.
    """
    if user_id != user["_id"]:
        raise NotYourProfile
    return etags.tagged(user)


@blueprint.route("/me/sessions")
@require_user
@blueprint.response(200, SessionSchema(many=True), example=[SESSION_EXAMPLE])
def list_sessions(user: Document) -> list[Document]:
    """List one's own sessions, the one used last first."""
    now = clock.utcnow()
    return [
        session | {"current": session["id"] == g.session_id, "expires_at": services.sessions.lifetimes.end_of(session)}
        for session in services.sessions.list_active(user["_id"], now, by=g.session_id)
    ]


@blueprint.route("/me/sessions", methods=["DELETE"])
@require_user
@fails(ValidationFailed({"current": ["Not a valid boolean."]}))
@blueprint.response(204)
@blueprint.arguments(EndSessionsSchema, location="query")
def end_sessions(user: Document, query: dict[str, bool]) -> None:
    """End all of one's own other sessions; with `current=true` the session of the access token as well."""
    if services.sessions.end_all(user["_id"], by=g.session_id, keep=None if query["current"] else g.session_id):
        services.audit.record("sessions_ended", user["_id"])


@blueprint.route("/me/sessions/<session_id>", methods=["DELETE"])
@require_user
@fails(SessionNotFound)
@blueprint.response(204)
def end_session(user: Document, session_id: str) -> None:
    """End one of one's own sessions, at once and everywhere."""
    if not services.sessions.end(user["_id"], session_id, by=g.session_id):
        services.sessions.require(user["_id"], g.session_id)
        raise SessionNotFound
    services.audit.record("session_ended", user["_id"], session_id=session_id)
