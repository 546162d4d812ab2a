"""Grants: what a login or a refresh returns, and the claims of the access token in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import g

from pixora import clock
from pixora.accounts import assurance
from pixora.accounts.documents import Session, User
from pixora.accounts.users import roles_of
from pixora.services import services
from pixora.tokens import refresh as refresh_tokens

FIRST_PARTY = "first-party"
"""The `client_id` of clients that send none (RFC 9068, section 2.2, requires the claim)."""

APP_METADATA = "app_metadata."


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The response of a token endpoint (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105  # no password
    expires_in: int
    refresh_token: str


def issue(user: User, session: Session, generation: int, client_id: str | None) -> Grant:
    """Issue the tokens of one generation of a session, to a user with the fields of `TOKEN_CLAIMS`."""
    g.user_id = user_id = user["_id"]  # for the request log
    not_after = session["created_at"] + services.sessions.lifetimes.absolute
    access_token, expires_in = services.tokens.issue(user_id, _session_claims(session, user, client_id), not_after)
    secret = services.settings.secret_key
    refresh_token = refresh_tokens.make(user_id, session["id"], generation, secret, session["salt"])
    return Grant(access_token=access_token, expires_in=expires_in, refresh_token=refresh_token)


def confirm(user: User, session: Session, generation: int, client_id: str | None) -> Grant:
    """Issue the tokens of a generation while a client may still hold the refresh token before it.

    Notes that the refresh token is ready to be sent: from now on its predecessor has only the grace period.
    """
    if session.get("answered", {}).get("generation") != generation:
        services.sessions.note_answer(user["_id"], session["id"], generation, clock.utcnow())
    return issue(user, session, generation, client_id)


def user_claims(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that `TOKEN_CLAIMS` names; without those of `app_metadata` that the user does not have."""
    claims: dict[str, Any] = {}
    for name in services.settings.token_claims:
        match name:
            case "roles":
                claims["roles"] = roles_of(user)
            case "email":
                claims["email"] = user["email"]
            case "email_verified":
                claims["email_verified"] = user.get("email_verified", False)
            case _:
                claim, metadata = name.removeprefix(APP_METADATA), user.get("app_metadata") or {}
                if claim in metadata:
                    claims[claim] = metadata[claim]
    return claims


def _session_claims(session: Session, user: Mapping[str, Any], client_id: str | None) -> dict[str, Any]:
    """Return the claims of a token of a session; without `client_id`, with the one of the login."""
    authentication = assurance.of_session(session)
    return user_claims(user) | {
        "sid": session["id"],
        "client_id": client_id or session.get("client_id", FIRST_PARTY),
        "auth_time": int(authentication["auth_time"].timestamp()),
        "acr": authentication["acr"],
        "amr": authentication["amr"],
    }
