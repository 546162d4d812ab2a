"""How a user was authenticated, and when (RFC 9470, OpenID Connect Core, section 2).

A session remembers it: `auth_time`, `acr` and `amr`. A refresh copies the three into the new access token and never
renews them; only a new authentication does. Sessions of earlier versions have none of them, and were opened with a
password.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from config import Settings
from pixora.accounts.users import accepted_passkeys, totp_of

AAL1, AAL2 = "aal1", "aal2"
"""The values of `acr`: one factor, and two (NIST SP 800-63B). As text, the higher level is the greater one."""

HARDWARE_KEY, SOFTWARE_KEY, USER_PRESENT, MULTIPLE_FACTORS = "hwk", "swk", "user", "mfa"
PASSWORD = "pwd"  # noqa: S105  # values of `amr` (RFC 8176)
ONE_TIME_PASSWORD = "otp"  # noqa: S105


class Authentication(TypedDict):
    """How a session was opened: `acr` is the level, `amr` the methods."""

    auth_time: datetime
    acr: str
    amr: list[str]


def by_password(now: datetime, *, with_code: bool) -> Authentication:
    """Return an authentication with the password, alone or with a code of an authenticator app or for recovery."""
    if with_code:
        return {"auth_time": now, "acr": AAL2, "amr": [PASSWORD, ONE_TIME_PASSWORD, MULTIPLE_FACTORS]}
    return {"auth_time": now, "acr": AAL1, "amr": [PASSWORD]}


def by_passkey(now: datetime, *, is_synchronized: bool) -> Authentication:
    """Return an authentication with a passkey that has verified the user, by its PIN or biometrics: two factors."""
    key = SOFTWARE_KEY if is_synchronized else HARDWARE_KEY
    return {"auth_time": now, "acr": AAL2, "amr": [key, USER_PRESENT, MULTIPLE_FACTORS]}


def upgraded(session: Any) -> dict[str, Any]:
    """Return the expression of a session to which a second factor was added; its `auth_time` stays."""
    return {"$mergeObjects": [session, {"acr": AAL2, "amr": [PASSWORD, ONE_TIME_PASSWORD, MULTIPLE_FACTORS]}]}


def of_session(session: Mapping[str, Any]) -> Authentication:
    """Return how a session was opened, or last confirmed."""
    return {
        "auth_time": session.get("auth_time", session["created_at"]),
        "acr": session.get("acr", AAL1),
        "amr": session.get("amr", [PASSWORD]),
    }


def best_level(user: Mapping[str, Any], settings: Settings) -> str:
    """Return the highest level that the user can reach: `AAL2` with a confirmed second factor or an accepted passkey.

    Others do not count: nobody could reach a level by them.
    """
    return AAL2 if totp_of(user) is not None or accepted_passkeys(user, settings) else AAL1
