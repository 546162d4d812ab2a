"""The roles of a user, and whether a user is disabled or has a password.

Documents of the FastAPI service say nothing of it: these users are enabled, have the role `user`, and a password.
"""

from collections.abc import Mapping
from typing import Any

USER, ADMIN = "user", "admin"
ROLES = USER, ADMIN

ENABLED: dict[str, Any] = {"disabled": {"$ne": True}}
"""The condition of a query for enabled users."""

ENABLED_ADMIN: dict[str, Any] = {"roles": ADMIN, "invited_at": {"$exists": False}, **ENABLED}
"""The condition of a query for enabled administrators, without those who have not accepted their invitation."""


def is_invited(user: Mapping[str, Any]) -> bool:
    """Tell whether a user is invited, and has no password yet."""
    return "invited_at" in user


def has_password(user: Mapping[str, Any]) -> bool:
    """Tell whether a user has a password: not before the invitation is accepted, nor after it was removed.

    Profiles leave out the hash, so the document says it a second time, in the same atomic updates.
    """
    return not is_invited(user) and "password_removed_at" not in user


def is_disabled(user: Mapping[str, Any]) -> bool:
    """Tell whether a user is disabled."""
    return user.get("disabled") is True


def roles_of(user: Mapping[str, Any]) -> list[str]:
    """Return the known roles of a user."""
    stored = list(user.get("roles") or [])
    return [role for role in ROLES if role in stored] or [USER]


def is_admin(user: Mapping[str, Any]) -> bool:
    """Tell whether a user is an administrator, enabled or disabled."""
    return ADMIN in roles_of(user)
