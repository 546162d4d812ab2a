"""Changes of users by administrators and commands: who may make them, and what the audit trail says of them.

Only actual changes are audited. If the database fails before it has acknowledged a change, the change may have been
made: it is audited with the outcome `unknown`.

The session and role of an administrator are checked again right before each change, in an operation of its own, because
they are in another document: an administrator who is demoted in the milliseconds in between still makes this change.
docs/security.md says why this is accepted.
Where administrators change themselves, the same operation checks both.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.audit import COMMAND
from pixora.accounts.documents import User
from pixora.accounts.sessions import in_session
from pixora.accounts.users import ENABLED_ADMIN, is_admin
from pixora.database.client import Document
from pixora.errors import AdminOnly, DatabaseUnavailable
from pixora.services import services


class Actor(NamedTuple):
    """Who makes a change: an administrator in a session, or `OPERATOR`, without a session."""

    id: str
    session_id: str | None


OPERATOR = Actor(COMMAND, None)
"""Who runs a command."""


def check_right(by: Actor) -> None:
    """Check that an administrator is still one.

    Raises:
        InvalidToken: the session of the administrator has ended.
        AdminOnly: the administrator has lost the role.

    """
    if by.session_id is None:
        return
    if not is_admin(services.users.find_in_session(by.id, by.session_id)):
        raise AdminOnly


@contextmanager
def notice(user: Mapping[str, Any], by: Actor, *changes: str) -> Iterator[list[Document]]:
    """Give the `with` block the stage that tells a user what was changed: none if users change themselves.

    The names of changes are those in the template `account_changed`.
    """
    if by.id == user["_id"] or not changes:
        yield []
        return
    with services.mail_throttles.notice(user) as may_send:
        message = services.outbox.compose("account_changed", user["email"], clock.utcnow(), changes=",".join(changes))
        yield [updates.queue_emails(message)] if may_send else []


def change(
    event: str, user_id: str, by: Actor, stages: Sequence[Document], condition: Document, **details: Any
) -> User | None:
    """Update a user and audit it, if `by` still has the right to; return None where `condition` does not hold.

    Raises:
        InvalidToken: the session of the administrator has ended.
        AdminOnly: the administrator has lost the role.

    """
    check_right(by)
    if by.session_id is not None and by.id == user_id:
        condition = condition | {"$and": [*condition.get("$and", []), ENABLED_ADMIN, in_session(by.session_id)]}
    try:
        changed = services.directory.update_any(user_id, *stages, **condition)
    except DatabaseUnavailable:
        services.audit.record(event, user_id, by=by.id, outcome="unknown", **details)
        raise
    if changed:
        services.audit.record(event, user_id, by=by.id, **details)
    return changed
