"""The claims of access tokens beside those of every JWT."""

from collections.abc import Mapping
from typing import Any

from pixora.accounts import assurance
from pixora.accounts.documents import Session
from pixora.accounts.users import roles_of
from pixora.services import services

FIRST_PARTY = "first-party"
"""The `client_id` of clients that send none (RFC 9068, section 2.2, requires the claim)."""

APP_METADATA = "app_metadata."


def of_session(session: Session, user: Mapping[str, Any], client_id: str | None) -> dict[str, Any]:
    """Return the claims of a token of a session.

    Args:
        session: The session.
        user: Its user, with the fields that `of_user` reads.
        client_id: As the client calls itself now; by default, as it did at the login. Nobody has verified it.

    """
    authentication = assurance.of_session(session)
    return of_user(user) | {
        "sid": session["id"],
        "client_id": client_id or session.get("client_id", FIRST_PARTY),
        "auth_time": int(authentication["auth_time"].timestamp()),
        "acr": authentication["acr"],
        "amr": authentication["amr"],
    }


def of_user(user: Mapping[str, Any]) -> dict[str, Any]:
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
