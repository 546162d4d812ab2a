"""Grants: what a login or a refresh returns."""

from dataclasses import dataclass

from pixora import clock
from pixora.accounts.documents import Session, User
from pixora.auth import claims
from pixora.services import services
from pixora.tokens import refresh as refresh_tokens


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The response of a token endpoint (RFC 6749, section 5.1), and `user_id` for the request log."""

    user_id: str
    access_token: str
    token_type: str = "bearer"  # noqa: S105  # no password
    expires_in: int
    refresh_token: str


def issue(user: User, session: Session, generation: int, client_id: str | None) -> Grant:
    """Issue the tokens of one generation of a session.

    Args:
        user: With the fields of `TOKEN_CLAIMS`.
        session: The session.
        generation: How often it has been refreshed.
        client_id: The `client_id` of OAuth, which nothing has checked.

    """
    user_id = user["_id"]
    not_after = session["created_at"] + services.sessions.lifetimes.absolute
    access_token, expires_in = services.tokens.issue(user_id, claims.of_session(session, user, client_id), not_after)
    secret = services.settings.secret_key
    refresh_token = refresh_tokens.make(user_id, session["id"], generation, secret, session["salt"])
    return Grant(user_id=user_id, access_token=access_token, expires_in=expires_in, refresh_token=refresh_token)


def confirm(user: User, session: Session, generation: int, client_id: str | None) -> Grant:
    """Issue the tokens of a generation while a client may still hold the refresh token before it.

    Notes that the refresh token is ready to be sent: from now on its predecessor has only the grace period.
    """
    if session.get("answered", {}).get("generation") != generation:
        services.sessions.note_answer(user["_id"], session["id"], generation, clock.utcnow())
    return issue(user, session, generation, client_id)
