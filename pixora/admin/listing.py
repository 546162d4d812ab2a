"""Lists for administrators: users, page by page, and the events and sessions of one user."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from pixora import clock, emails
from pixora.accounts import directory
from pixora.accounts.directory import Filters
from pixora.admin.service import find
from pixora.database.client import Document
from pixora.errors import UserNotFound
from pixora.services import services
from pixora.users import events
from pixora.web import pagination

COUNTED = 1000
"""How many users a filter may match for their number to be told with each page: counting more takes too long."""


class UserPage(TypedDict):
    """A page of users, and how many there are on all pages; None where that was not counted."""

    items: Any
    next: str | None
    total: int | None


class _Order(NamedTuple):
    """What a list is sorted by: the fields, and the kind of its cursors."""

    key: tuple[str, ...]
    kind: str


def list_users(query: Mapping[str, Any]) -> UserPage:
    """Return a page of the users; raise `ValidationFailed` if `after` is not a cursor of a list with these filters."""
    filters = _filters(query)
    order = _order(filters)
    after = None if "after" not in query else _position(order, query["after"])
    found, has_more = services.directory.list_page(filters, query["limit"], after)
    is_whole = after is None and not has_more
    total = len(found) if is_whole else _count(filters, exactly=query["total"])
    return {"items": found, "next": _cursor(order, found[-1]) if has_more else None, "total": total}


def list_events(user_id: str, limit: int, after: str | None) -> pagination.Page:
    """Return a page of the events of a user; raise `UserNotFound` or, for `after`, `ValidationFailed`."""
    find(user_id)
    return events.page(user_id, limit, after, for_admin=True)


def list_sessions(user_id: str) -> list[Document]:
    """Return the sessions of a user, the most recently used first; raise `UserNotFound`."""
    stored = services.directory.find_sessions(user_id)
    if stored is None:
        raise UserNotFound
    return services.sessions.lifetimes.list_active(stored, clock.utcnow())


def _filters(query: Mapping[str, Any]) -> Filters:
    typed = query.get("email")
    given = {name: query[name] for name in Filters._fields if name in query}
    return Filters(emails=None if typed is None else tuple(emails.spellings(typed)), **given)


def _order(filters: Filters) -> _Order:
    kinds = {("_id",): pagination.ID, ("email",): pagination.EMAIL, ("created_at", "_id"): pagination.CREATED}
    key = directory.sort_key(filters)
    given = {name: value for name, value in filters._asdict().items() if value is not None}
    if filters.emails is not None:
        given["emails"] = filters.emails[-1]  # whatever case was typed
    return _Order(key, pagination.filtered(kinds[key], given))


def _cursor(order: _Order, user: Mapping[str, Any]) -> str:
    if order.key == ("created_at", "_id"):
        return pagination.make(order.kind, pagination.moment(user["created_at"], user["_id"]))
    return pagination.make(order.kind, user[order.key[0]])


def _position(order: _Order, cursor: str) -> directory.Position:
    key = pagination.read(order.kind, cursor)
    return pagination.read_moment(key) if order.key == ("created_at", "_id") else (key,)


def _count(filters: Filters, *, exactly: bool) -> int | None:
    if exactly or filters.is_empty:
        return services.directory.count(filters)
    number = services.directory.count(filters, COUNTED + 1)
    return number if number <= COUNTED else None
