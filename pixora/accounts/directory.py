"""All users, as administrators see them: page by page, or by the beginning of an e-mail address.

A cursor is the sort key of the last user, not an offset, so pages stay in step while users come and go.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import ReturnDocument

from pixora.accounts.documents import User
from pixora.accounts.store import PROFILE, UserStore
from pixora.database.client import Document

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

    def list_page(self, limit: int, after: str | None) -> list[User]:
        """Return the next profiles, sorted by id; `after` is the id before the first."""
        return self._list({"_id": {"$gte": ""} if after is None else {"$gt": after}}, "_id", limit)

    def search_by_email(self, prefixes: Sequence[str], limit: int, after: str | None) -> list[User]:
        """Return the next profiles whose stored address has one of these prefixes, sorted by address."""
        later = {} if after is None else {"$gt": after}
        ranges = [{"email": {"$gte": prefix, "$lt": prefix + LAST_CHARACTER, **later}} for prefix in prefixes]
        return self._list({"$or": ranges}, "email", limit)

    def update_any(self, user_id: str, *stages: Document, **unchanged: Any) -> User | None:
        """Update a user, enabled or disabled, in one atomic operation; return the new profile.

        Args:
            user_id: The user.
            stages: From `pixora.accounts.updates`.
            unchanged: Further conditions; when they do not hold, nothing changes and None is returned.

        """
        with self._store.operation("directory.change"):
            return self._store.collection.find_one_and_update(
                {"_id": user_id, **unchanged}, [*stages], projection=PROFILE, return_document=ReturnDocument.AFTER
            )

    def _list(self, query: Document, key: str, limit: int) -> list[User]:
        with self._store.operation("directory.page"):
            return list(self._store.collection.find(query, PROFILE, sort=[(key, 1)], limit=limit))
