"""All users, as administrators see them, page by page.

A page begins after the sort key of the last user of the one before, not at an offset, so pages stay in step while users
come and go. The sort key is the e-mail address in a search by address, the time of creation (and the id) where a filter
limits it, and else the id: so that an index gives the users in order, and a page costs the same among millions.
"""

from datetime import datetime
from typing import Any, NamedTuple

from bson import decode
from bson.raw_bson import RawBSONDocument
from pymongo import ReturnDocument

from pixora.accounts.documents import ADMIN, USER, Session, User
from pixora.accounts.users import PROFILE, UserStore
from pixora.database.client import Document


class Filters(NamedTuple):
    """Which users to list; None where it does not matter."""

    emails: tuple[str, ...] | None = None  # the beginning of the address, in any of these spellings
    role: str | None = None
    disabled: bool | None = None
    email_verified: bool | None = None
    created_after: datetime | None = None  # at this time or later
    created_before: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all users are listed."""
        return all(value is None for value in self)


Position = tuple[Any, ...]
"""Of a user in a list: the id, the address, or the time of creation and the id."""

NOT_TRUE = {"$in": [False, None]}
"""Of a field that is true, false or missing; in this form an index gives the users in the order of their ids."""

PAGE_BYTES = 256 * 1024
"""The most bytes of profiles, as BSON, in a page of several. Metadata of many small values takes long to decode and to
encode, and nothing else runs meanwhile: 100 users with twice 4 KiB of it took 137 ms, and a page takes 12 ms now."""

LAST_CHARACTER = "\U0010ffff"
"""Sorts after every character of an address: MongoDB compares strings byte by byte, in UTF-8."""


class Directory:
    """The users of one application, including disabled ones. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore) -> None:
        self._store = users

    def find_profile(self, user_id: str) -> User | None:
        """Return the profile of a user."""
        with self._store.operation("directory.find"):
            return self._store.collection.find_one({"_id": user_id}, PROFILE)

    def find_sessions(self, user_id: str) -> list[Session] | None:
        """Return the sessions of a user, ended ones among them; None if there is no such user."""
        with self._store.operation("directory.find_sessions"):
            user = self._store.collection.find_one({"_id": user_id}, {"sessions": 1})
        return None if user is None else user.get("sessions", [])

    def list_page(self, filters: Filters, limit: int, after: Position | None) -> tuple[list[User], bool]:
        """Return the next profiles, and whether there are more; `after` is the position of the last user before.

        At most `limit` profiles, and fewer if they are larger than `PAGE_BYTES` together.
        """
        query = _query(filters)
        key = sort_key(filters)
        if key == ("email",):
            later = {} if after is None else {"$gt": after[0]}
            query["$or"] = [{"email": {**_prefix(spelling), **later}} for spelling in filters.emails or ()]
        elif key == ("created_at", "_id"):
            if after is not None:
                query["created_at"] = query["created_at"] | {"$gte": after[0]}
                query["$or"] = [{"created_at": {"$gt": after[0]}}, {"_id": {"$gt": after[1]}}]
        else:
            query["_id"] = {"$gte": ""} if after is None else {"$gt": after[0]}
        options = self._store.collection.codec_options
        undecoded = self._store.collection.with_options(options.with_options(document_class=RawBSONDocument))
        found: list[User] = []
        left = PAGE_BYTES
        with (
            self._store.operation("directory.page"),
            undecoded.find(query, PROFILE, sort=[(name, 1) for name in key], limit=limit + 1) as documents,
        ):
            for document in documents:
                left -= len(document.raw)
                if len(found) == limit or (found and left < 0):
                    return found, True
                found.append(decode(document.raw, options))
        return found, False

    def count(self, filters: Filters, limit: int | None = None) -> int:
        """Count the users, up to a limit. Counting a million takes about a second, unless there is no filter."""
        with self._store.operation("directory.count"):
            if filters.is_empty:
                return self._store.collection.estimated_document_count()
            if limit is None and (others := _others(filters)) is not None:
                return self._store.collection.estimated_document_count() - self._store.collection.count_documents(
                    others
                )
            query = _query(filters)
            if filters.emails is not None:
                query["$or"] = [{"email": _prefix(spelling)} for spelling in filters.emails]
            if limit is None:
                return self._store.collection.count_documents(query)
            return self._store.collection.count_documents(query, limit=limit)

    def update_any(self, user_id: str, *stages: Document, **unchanged: Any) -> User | None:
        """Update a user, enabled or disabled, in one atomic operation; return the new profile.

        Return None, changing nothing, if the conditions `unchanged` do not hold.

        Raises:
            EmailTaken: another user has the new e-mail address.

        """
        with self._store.email_taken("directory.change"):
            return self._store.collection.find_one_and_update(
                {"_id": user_id, **unchanged}, [*stages], projection=PROFILE, return_document=ReturnDocument.AFTER
            )

    def delete_any(self, user_id: str, **unchanged: Any) -> bool:
        """Delete a user, enabled or disabled; return False if the conditions, as of `update_any`, do not hold."""
        with self._store.operation("directory.delete"):
            return self._store.collection.delete_one({"_id": user_id, **unchanged}).deleted_count == 1


def sort_key(filters: Filters) -> tuple[str, ...]:
    """Return the fields by which a list with these filters is sorted."""
    if filters.emails is not None:
        return ("email",)
    return ("_id",) if filters.created_after is filters.created_before is None else ("created_at", "_id")


def _query(filters: Filters) -> Document:
    """Return the query for all filters except that by address."""
    query: Document = {}
    if filters.role == USER:  # also where there are no roles
        query["$nor"] = [{"roles": ADMIN, "$nor": [{"roles": USER}]}]
    elif filters.role is not None:
        query["roles"] = filters.role
    for name, value in (("disabled", filters.disabled), ("email_verified", filters.email_verified)):
        if value is not None:
            query[name] = True if value else NOT_TRUE
    bounds = {"$gte": filters.created_after, "$lt": filters.created_before}
    if created := {operator: time for operator, time in bounds.items() if time is not None}:
        query["created_at"] = created
    return query


def _others(filters: Filters) -> Document | None:
    """Return the query for all users but these, if an index alone counts those."""
    match {name: value for name, value in filters._asdict().items() if value is not None}:
        case {"role": role, **rest} if role == USER and not rest:
            return {"roles": ADMIN, "$nor": [{"roles": USER}]}
        case {"disabled": False, **rest} if not rest:
            return {"disabled": True}
        case {"email_verified": False, **rest} if not rest:
            return {"email_verified": True}
    return None


def _prefix(spelling: str) -> Document:
    return {"$gte": spelling, "$lt": spelling + LAST_CHARACTER}
