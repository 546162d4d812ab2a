"""`/api/users`: one's own profile and sessions."""

from flask import g

from pixora import clock
from pixora.blueprint import Blueprint, fails
from pixora.database import Document
from pixora.errors import NotYourProfile, SessionNotFound, ValidationFailed
from pixora.guards import require_user
from pixora.users.schemas import EXAMPLE, SESSION_EXAMPLE, EndSessionsSchema, ProfileSchema, SessionSchema
from pixora.users.sessions import sessions

blueprint = Blueprint("users", __name__, url_prefix="/api/users", description="One's own profile and sessions")


@blueprint.route("/me")
@require_user
@blueprint.response(200, ProfileSchema, example=EXAMPLE)
def get_me(user: Document) -> Document:
    """Read one's own profile."""
    return user


@blueprint.route("/<user_id>")
@require_user
@fails(NotYourProfile)
@blueprint.response(200, ProfileSchema, example=EXAMPLE)
def get_user(user: Document, user_id: str) -> Document:
    """Read a profile by id: one's own.

    Every other id is answered with 403, whether or not it exists and however it is formed.
    """
    if user_id != user["_id"]:
        raise NotYourProfile
    return user


@blueprint.route("/me/sessions")
@require_user
@blueprint.response(200, SessionSchema(many=True), example=[SESSION_EXAMPLE])
def list_sessions(user: Document) -> list[Document]:
    """List one's own sessions, the one used last first."""
    now = clock.utcnow()
    return [
        session | {"current": session["id"] == g.session_id, "expires_at": sessions.lifetimes.end_of(session)}
        for session in sessions.list(user["_id"], now)
    ]


@blueprint.route("/me/sessions", methods=["DELETE"])
@require_user
@fails(ValidationFailed({"current": ["Not a valid boolean."]}))
@blueprint.response(204)
@blueprint.arguments(EndSessionsSchema, location="query")
def end_sessions(user: Document, query: dict[str, bool]) -> None:
    """End all of one's own other sessions; with `current=true` the session of the access token as well."""
    sessions.end_all(user["_id"], but=None if query["current"] else g.session_id)


@blueprint.route("/me/sessions/<session_id>", methods=["DELETE"])
@require_user
@fails(SessionNotFound)
@blueprint.response(204)
def end_session(user: Document, session_id: str) -> None:
    """End one of one's own sessions, at once and everywhere."""
    if not sessions.end(user["_id"], session_id):
        raise SessionNotFound
