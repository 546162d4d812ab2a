"""Pages and their cursors, which are opaque to clients.

A cursor holds the id, address or event after which the next page begins, so it stays valid when that is deleted.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from pixora.errors import ValidationFailed

ID, EMAIL, EVENT = "i", "e", "t"
"""Kinds of cursors, by what the pages are ordered by."""


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
    if text[:1] != kind or make(kind, text[1:]) != cursor:
        raise refusal()
    return text[1:]


def refusal() -> ValidationFailed:
    """Return the error for an invalid cursor."""
    return ValidationFailed({"after": ["Is not the cursor of a page of this list."]})
