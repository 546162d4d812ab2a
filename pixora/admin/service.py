"""What administrators and commands do with users, and the rules for it.

Only actual changes are audited. If the database fails before it has acknowledged a change, the change may have been
made: it is audited with the outcome `unknown`.

The session and role of an administrator are checked again right before each change, in an operation of its own, because
they are in another document: an administrator who is demoted in the milliseconds in between still makes this change.
Where administrators change themselves, the same operation checks both.
"""

import contextlib
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.audit import COMMAND
from pixora.accounts.documents import User
from pixora.accounts.roles import ADMIN, ENABLED, ENABLED_ADMIN, ROLES, is_admin, is_disabled, roles_of
from pixora.accounts.sessions import in_session
from pixora.database.client import Document
from pixora.errors import AdminOnly, DatabaseUnavailable, InvalidToken, UserNotFound
from pixora.services import services
from pixora.tokens.one_time import Purpose


class Actor(NamedTuple):
    """Who acts: an administrator in a session, or `OPERATOR`, who has none."""

    id: str
    session_id: str | None


OPERATOR = Actor(COMMAND, None)
"""Who runs a command."""


def find(user_id: str) -> User:
    """Return the profile of a user, or raise `UserNotFound`."""
    user = services.directory.find_profile(user_id)
    if user is None:
        raise UserNotFound
    return user


def disable(user_id: str, by: Actor) -> bool:
    """Disable a user, and end all sessions and one-time tokens. Return False if the user was already disabled.

    Raises:
        UserNotFound: there is no such user.
        LastAdmin: no enabled administrator would be left.

    """
    while not is_disabled(find(user_id)):
        stages = (
            updates.set_fields({"disabled": True}, clock.utcnow()),
            updates.end_sessions(),
            updates.end_tokens(*Purpose),
        )
        with services.administrators.removing(user_id) as condition:
            changed = _change("user_disabled", user_id, by, stages, ENABLED | condition)
        if changed:
            return True
    return False


def enable(user_id: str, by: Actor) -> bool:
    """Enable a user. The user has to log in again. Return False if the user was already enabled.

    Raises:
        UserNotFound: there is no such user.

    """
    stages = updates.set_fields({}, clock.utcnow()), updates.unset_fields("disabled")
    if _change("user_enabled", user_id, by, stages, {"disabled": True}):
        return True
    find(user_id)
    return False


def set_roles(user_id: str, roles: Collection[str], by: Actor) -> User:
    """Replace the roles of a user; return the profile.

    Raises:
        UserNotFound: there is no such user.
        LastAdmin: no enabled administrator would be left.

    """
    wanted = [role for role in ROLES if role in roles]
    if not wanted or set(roles) > set(wanted):
        raise ValueError(f"not roles of a user: {roles}")
    while True:
        user = find(user_id)
        before = roles_of(user)
        if before == wanted:
            return user
        stage = updates.set_fields({"roles": wanted}, clock.utcnow())
        keeps_admin = contextlib.nullcontext[Document]({})
        with keeps_admin if ADMIN in wanted else services.administrators.removing(user_id) as condition:
            unchanged = {"roles": user.get("roles")} | condition
            changed = _change("roles_changed", user_id, by, [stage], unchanged, before=before, roles=wanted)
        if changed:
            return changed


def end_sessions(user_id: str, by: Actor) -> bool:
    """End all sessions of a user. Return False if there was none.

    Raises:
        UserNotFound: there is no such user.

    """
    if _change("sessions_ended", user_id, by, [updates.end_sessions()], {"sessions.0": {"$exists": True}}):
        return True
    find(user_id)
    return False


def _change(
    event: str, user_id: str, by: Actor, stages: Sequence[Document], condition: Document, **details: Any
) -> User | None:
    """Update a user and audit it, if `by` still has the right to; return None where `condition` does not hold.

    Raises:
        InvalidToken: the session of the administrator has ended.
        AdminOnly: the administrator has lost the role.

    """
    if by.session_id is not None:
        administrator = services.users.find_in_session(by.id, by.session_id)
        if administrator is None:
            raise InvalidToken
        if not is_admin(administrator):
            raise AdminOnly
        if by.id == user_id:
            condition = condition | {"$and": [ENABLED_ADMIN, in_session(by.session_id)]}
    try:
        changed = services.directory.update_any(user_id, *stages, **condition)
    except DatabaseUnavailable:
        services.audit.record(event, user_id, by=by.id, outcome="unknown", **details)
        raise
    if changed:
        services.audit.record(event, user_id, by=by.id, **details)
    return changed
