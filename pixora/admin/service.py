"""The rules by which accounts are administered: by an administrator, or by a command.

`by`, everywhere, is who does it: the id of an administrator, or `command`. What changes nothing is no event. Where the
database goes away before it has told what became of a change, that is recorded as well: it may have been made, and who
tries again would find it made already.

An administrator's session and role are looked at again right before each change. That and the change are two
operations, for they are in two documents: an administrator who is demoted in the milliseconds between them still makes
this one change. What administrators change about themselves requires both in the same operation.
"""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

from flask import g

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.audit import COMMAND
from pixora.accounts.roles import ADMIN, ENABLED, ENABLED_ADMIN, ROLES, is_admin, is_disabled, roles_of
from pixora.accounts.sessions import in_session
from pixora.database.client import Document
from pixora.errors import AdminOnly, DatabaseUnavailable, InvalidToken, UserNotFound
from pixora.services import services
from pixora.tokens.one_time import Purpose
from pixora.web import pagination


def page(limit: int, after: str | None, email: str | None) -> pagination.Page:
    """Return a page of the users.

    Args:
        limit: The most that are on it.
        after: The cursor of the page before.
        email: How an address begins, as somebody has typed it: only of users who have such a one.

    Raises:
        ValidationFailed: `after` is no cursor of such a page.

    """
    kind, key = (pagination.ID, "_id") if email is None else (pagination.EMAIL, "email")
    last = None if after is None else pagination.read(kind, after)
    found = (
        services.directory.list_page(limit + 1, last)
        if email is None
        else services.directory.search_by_email(emails.spellings(email), limit + 1, last)
    )
    return pagination.page(found, limit, lambda user: pagination.make(kind, user[key]))


def find(user_id: str) -> Document:
    """Return the profile of a user; raise `UserNotFound`."""
    user = services.directory.find_profile(user_id)
    if user is None:
        raise UserNotFound
    return user


def disable(user_id: str, by: str) -> bool:
    """Shut a user out, at once: the sessions end, and so do the links in letters. Return False if it was so already.

    Raises:
        UserNotFound: there is none.
        LastAdmin: no enabled administrator would be left.

    """
    while not is_disabled(find(user_id)):
        stages = (
            updates.set_fields({"disabled": True}, clock.utcnow()),
            updates.end_sessions(),
            updates.end_tokens(*Purpose),
        )
        with services.administrators.removing(user_id) as condition, _recorded_if_lost("user_disabled", user_id, by):
            changed = _change(user_id, by, *stages, **ENABLED, **condition)
        if changed:
            services.audit.record("user_disabled", user_id, by=by)
            return True
    return False


def enable(user_id: str, by: str) -> bool:
    """Let a user in again, who has to log in anew. Return False if it was so already.

    Raises:
        UserNotFound: there is none.

    """
    stages = updates.set_fields({}, clock.utcnow()), updates.unset_fields("disabled")
    with _recorded_if_lost("user_enabled", user_id, by):
        changed = _change(user_id, by, *stages, disabled=True)
    if changed is None:
        find(user_id)
        return False
    services.audit.record("user_enabled", user_id, by=by)
    return True


def set_roles(user_id: str, roles: Collection[str], by: str) -> Document:
    """Give a user these roles and no others; return the profile.

    Raises:
        UserNotFound: there is none.
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
        with contextlib.ExitStack() as stack:
            condition = {} if ADMIN in wanted else stack.enter_context(services.administrators.removing(user_id))
            stack.enter_context(_recorded_if_lost("roles_changed", user_id, by, before=before, roles=wanted))
            changed = _change(user_id, by, stage, roles=user.get("roles"), **condition)
        if changed:
            services.audit.record("roles_changed", user_id, by=by, before=before, roles=wanted)
            return changed


def end_sessions(user_id: str, by: str) -> bool:
    """End all sessions of a user. Return False if there was none.

    Raises:
        UserNotFound: there is no such user.

    """
    with _recorded_if_lost("sessions_ended", user_id, by):
        changed = _change(user_id, by, updates.end_sessions(), **{"sessions.0": {"$exists": True}})
    if changed is None:
        find(user_id)
        return False
    services.audit.record("sessions_ended", user_id, by=by)
    return True


def _change(user_id: str, by: str, *stages: Document, **condition: Any) -> Document | None:
    """Change a user as `directory.update_any` does, if `by` may still do it.

    Raises:
        InvalidToken: the session of the administrator has ended.
        AdminOnly: the administrator is none any more.

    """
    if by != COMMAND:
        administrator = services.users.find_in_session(by, g.session_id)
        if administrator is None:
            raise InvalidToken
        if not is_admin(administrator):
            raise AdminOnly
        if by == user_id:
            condition = condition | {"$and": [ENABLED_ADMIN, in_session(g.session_id)]}
    return services.directory.update_any(user_id, *stages, **condition)


@contextlib.contextmanager
def _recorded_if_lost(event: str, user_id: str, by: str, **details: Any) -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailable:
        services.audit.record(event, user_id, by=by, outcome="unknown", **details)
        raise
