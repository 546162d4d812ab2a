"""Pages, and cursors: where a page of users or events has ended, opaque to clients.

A cursor says after which id, address or event the next page begins. It points to no row, so it stays good when that is
gone.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any, TypedDict

from pixora.errors import ValidationFailed

ID, EMAIL, EVENT = "i", "e", "t"


class Page(TypedDict):
    """Some documents, and the cursor after them; None on the last page."""

    items: list[dict[str, Any]]
    next: str | None


def page(found: list[dict[str, Any]], limit: int, cursor_after: Callable[[dict[str, Any]], str]) -> Page:
    """Return a page of what was found, which is one more than the page may have if there are more.

    Args:
        found: In the order of the pages.
        limit: The most that are on it.
        cursor_after: Returns the cursor after a document.

    """
    items = found[:limit]
    return {"items": items, "next": cursor_after(items[-1]) if len(found) > limit else None}


def make(kind: str, key: str) -> str:
    """Return the cursor after a key.

    Args:
        kind: What the pages are ordered by: `ID`, `EMAIL` or `EVENT`.
        key: The last one of the page.

    """
    return base64.urlsafe_b64encode((kind + key).encode()).decode().rstrip("=")


def read(kind: str, cursor: str) -> str:
    """Return the key that a cursor stands after.

    Raises:
        ValidationFailed: it is none of ours, or one of another kind; told under `after`.

    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise refusal() from error
    # Base64 has more than one spelling for most texts, and Python reads more than base64.
    if text[:1] != kind or make(kind, text[1:]) != cursor:
        raise refusal()
    return text[1:]


def refusal() -> ValidationFailed:
    """Return the error of what is no cursor of ours."""
    return ValidationFailed({"after": ["Is not the cursor of a page of this list."]})
