"""The standing of an account: its roles, and whether it is disabled.

In a document `roles` is a list of `ROLES`, and `disabled` is true or absent. Those of the FastAPI service have neither:
they are enabled, and users.
"""

from pixora.database.client import Document

USER, ADMIN = "user", "admin"
ROLES = USER, ADMIN

ENABLED: Document = {"disabled": {"$ne": True}}
"""What makes a query find those only who are not disabled."""

ENABLED_ADMIN: Document = {"roles": ADMIN, **ENABLED}


def is_disabled(user: Document) -> bool:
    """Tell whether a user is disabled, as `ENABLED` has it."""
    return user.get("disabled") is True


def roles_of(user: Document) -> list[str]:
    """Return the roles of a user, of those that there are."""
    stored = list(user.get("roles") or [])
    return [role for role in ROLES if role in stored] or [USER]


def is_admin(user: Document) -> bool:
    """Tell whether a user is an administrator, enabled or not."""
    return ADMIN in roles_of(user)
