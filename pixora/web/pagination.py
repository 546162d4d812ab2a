"""Pages and their cursors, which are opaque to clients.

A cursor holds the id, address or event after which the next page begins, so it stays valid when that is deleted.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from pixora.errors import ValidationFailed

ID, EMAIL, CREATED, EVENT = "i", "e", "c", "t"
"""Kinds of cursors, by what the pages are ordered by."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = re.compile(r"(-?[0-9]{1,14})-(.*)", re.ASCII | re.DOTALL)


class Page(TypedDict):
    """Some documents, and the cursor of the next page; None on the last one."""

    items: Sequence[Mapping[str, Any]]
    next: str | None


def page(found: Sequence[Mapping[str, Any]], limit: int, cursor_after: Callable[[Any], str]) -> Page:
    """Return a page.

    Args:
        found: The ordered documents, one more than `limit` if there is another page.
        limit: How many documents a page has.
        cursor_after: Returns the cursor after a document.

    """
    items = found[:limit]
    return {"items": items, "next": cursor_after(items[-1]) if len(found) > limit else None}


def filtered(kind: str, filters: Mapping[str, Any]) -> str:
    """Return the kind of the cursors of a list with these filters: a cursor of other filters is refused."""
    if not filters:
        return kind
    text = json.dumps(filters, sort_keys=True, default=str)
    return f"{kind.upper()}{hashlib.sha256(text.encode()).hexdigest()[:16]}:"


def moment(at: datetime, key: str) -> str:
    """Return the key of a cursor for a time and, among those of this millisecond, an id."""
    return f"{(at - _EPOCH) // timedelta(milliseconds=1)}-{key}"


def read_moment(key: str) -> tuple[datetime, str]:
    """Return the time and the id in a key from `moment`; raise `ValidationFailed` if it is none."""
    found = _MOMENT.fullmatch(key)
    try:
        return _EPOCH + timedelta(milliseconds=int(found[1] if found else "")), found[2] if found else ""
    except (ValueError, OverflowError) as error:
        raise refusal() from error


def make(kind: str, key: str) -> str:
    """Return the cursor after a key."""
    return base64.urlsafe_b64encode((kind + key).encode()).decode().rstrip("=")


def read(kind: str, cursor: str) -> str:
    """Return the key in a cursor.

    Raises:
        ValidationFailed: the cursor is not one of ours, or of another kind.

    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise refusal() from error
    # Most texts have several encodings in base64, and Python decodes more than base64.
    if not text.startswith(kind) or make(kind, text.removeprefix(kind)) != cursor:
        raise refusal()
    return text.removeprefix(kind)


def refusal() -> ValidationFailed:
    """Return the error for an invalid cursor."""
    return ValidationFailed({"after": ["Is not the cursor of a page of this list."]})
