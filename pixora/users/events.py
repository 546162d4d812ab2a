"""What has happened to a user, as the user gets to see it: the rows of the audit trail, but for who did it.

Of an administrator it tells that one did it, and neither who nor from where: that is not the user's to know.
"""

import re
from datetime import UTC, datetime, timedelta

from pixora.accounts.audit import COMMAND, Position
from pixora.database.client import Document
from pixora.services import services
from pixora.web import pagination

EXPORTED = 1000
"""How many of the last ones are in an export; somebody who is attacked has hundreds a day."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = re.compile("([0-9]{1,14})-([0-9a-f]{24})")


def page(user_id: str, limit: int, after: str | None = None) -> pagination.Page:
    """Return a page of what has happened to a user, the newest first.

    Args:
        user_id: To whom.
        limit: The most that are on it.
        after: The cursor of the page before.

    Raises:
        ValidationFailed: `after` is no cursor of such a page.
        DatabaseUnavailable: as ever.

    """
    found = services.audit.list_events(user_id, limit + 1, None if after is None else _place(after))
    return pagination.page([_shown(row) for row in found], limit, _cursor)


def _shown(row: Document) -> Document:
    by = row.get("by")
    if by is None:
        return row
    return row | {"by": "operator" if by == COMMAND else "admin", "network": None, "request_id": None}


def _cursor(row: Document) -> str:
    return pagination.make(pagination.EVENT, f"{(row['at'] - _EPOCH) // timedelta(milliseconds=1)}-{row['_id']}")


def _place(cursor: str) -> Position:
    place = _PLACE.fullmatch(pagination.read(pagination.EVENT, cursor))
    if place is None:
        raise pagination.refusal()
    return Position(_EPOCH + timedelta(milliseconds=int(place[1])), place[2])
