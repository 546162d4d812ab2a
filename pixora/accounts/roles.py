"""The roles of a user, and whether a user is disabled.

Documents of the FastAPI service have neither: these users are enabled, and have the role `user`.
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
