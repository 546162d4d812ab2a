"""The security events of a user, from the audit trail.

The user sees that an administrator did something, but neither who nor from where.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pixora.accounts.audit import COMMAND, Position
from pixora.accounts.documents import AuditEvent
from pixora.services import services
from pixora.web import pagination

EXPORTED = 1000
"""The number of events in an export. An account under attack has hundreds a day."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION = re.compile("([0-9]{1,14})-([0-9a-f]{24})")


def page(user_id: str, limit: int, after: str | None = None) -> pagination.Page:
    """Return a page of the events of a user, newest first; raise `ValidationFailed` if `after` is no valid cursor."""
    found = services.audit.list_events(user_id, limit + 1, None if after is None else _position(after))
    return pagination.page([_shown(row) for row in found], limit, _cursor)


def _shown(row: AuditEvent) -> Mapping[str, Any]:
    by = row.get("by")
    if by is None:
        return row
    return row | {"by": "operator" if by == COMMAND else "admin", "network": None, "request_id": None}


def _cursor(row: Mapping[str, Any]) -> str:
    return pagination.make(pagination.EVENT, f"{(row['at'] - _EPOCH) // timedelta(milliseconds=1)}-{row['_id']}")


def _position(cursor: str) -> Position:
    position = _POSITION.fullmatch(pagination.read(pagination.EVENT, cursor))
    if position is None:
        raise pagination.refusal()
    return Position(_EPOCH + timedelta(milliseconds=int(position[1])), position[2])
