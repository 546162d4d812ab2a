"""The security events of a user, from the audit trail.

The user sees that an administrator did something, but neither who nor from where.
"""

import re
from collections.abc import Mapping
from typing import Any

from pixora.accounts.audit import COMMAND, Position
from pixora.accounts.documents import AuditEvent
from pixora.services import services
from pixora.web import pagination

EXPORTED = 1000
"""The number of events in an export. An account under attack has hundreds a day."""

_ROW_ID = re.compile("[0-9a-f]{24}")


def page(user_id: str, limit: int, after: str | None = None, *, for_admin: bool = False) -> pagination.Page:
    """Return a page of the events of a user, newest first; for administrators with who did what, and from where.

    Raises:
        ValidationFailed: `after` is not a cursor of such a page.

    """
    found = services.audit.list_events(user_id, limit + 1, None if after is None else _position(after))
    return pagination.page(found if for_admin else [_shown(row) for row in found], limit, _cursor)


def _shown(row: AuditEvent) -> Mapping[str, Any]:
    by = row.get("by")
    if by is None:
        return row
    return row | {"by": "operator" if by == COMMAND else "admin", "network": None, "request_id": None}


def _cursor(row: Mapping[str, Any]) -> str:
    return pagination.make(pagination.EVENT, pagination.moment(row["at"], str(row["_id"])))


def _position(cursor: str) -> Position:
    at, row_id = pagination.read_moment(pagination.read(pagination.EVENT, cursor))
    if not _ROW_ID.fullmatch(row_id):
        raise pagination.refusal()
    return Position(at, row_id)
