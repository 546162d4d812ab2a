"""Disable and enable users, set their roles, end their sessions."""

import contextlib
from collections.abc import Collection

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.documents import ADMIN, ROLES, User
from pixora.accounts.users import ENABLED, is_disabled, roles_of
from pixora.admin.changes import Actor, change, notice
from pixora.database.client import Document
from pixora.errors import UserNotFound
from pixora.services import services
from pixora.tokens.one_time import Purpose


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
    while not is_disabled(user := find(user_id)):
        stages = (
            updates.set_fields({"disabled": True}, clock.utcnow()),
            *updates.end_sessions(),
            updates.end_tokens(*Purpose),
        )
        with notice(user, by, "disabled") as told, services.administrators.removing(user_id) as condition:
            changed = change("user_disabled", user_id, by, [*stages, *told], ENABLED | condition)
        if changed:
            return True
    return False


def enable(user_id: str, by: Actor) -> bool:
    """Enable a user. The user has to log in again. Return False if the user was already enabled.

    Raises:
        UserNotFound: there is no such user.

    """
    while is_disabled(user := find(user_id)):
        stage = updates.set_fields({"disabled": None}, clock.utcnow())
        with notice(user, by, "enabled") as told:
            if change("user_enabled", user_id, by, [stage, *told], {"disabled": True}):
                return True
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
        removing = keeps_admin if ADMIN in wanted else services.administrators.removing(user_id)
        with notice(user, by, "roles") as told, removing as condition:
            unchanged = {"roles": user.get("roles")} | condition
            changed = change("roles_changed", user_id, by, [stage, *told], unchanged, before=before, roles=wanted)
        if changed:
            return changed


def end_sessions(user_id: str, by: Actor) -> bool:
    """End all sessions of a user, and a pending change of e-mail; return False if there was neither.

    Raises:
        UserNotFound: there is no such user.

    """
    condition = {"$or": [{"sessions.0": {"$exists": True}}, {"tokens.change_email": {"$exists": True}}]}
    if change("sessions_ended", user_id, by, updates.end_sessions(), condition):
        return True
    find(user_id)
    return False
