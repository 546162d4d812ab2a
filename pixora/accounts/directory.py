"""All users, as an administrator looks at them: page by page, or by the beginning of an address.

Pages go by the key that their order is made of, and not by number: they stay in step while users come and go.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import ReturnDocument

from pixora.accounts.store import PROFILE, UserStore
from pixora.database.client import Document

LAST_CHARACTER = "\U0010ffff"
"""No address has it, and it comes after all others: MongoDB compares text byte by byte, in UTF-8."""


class Directory:
    """The users of one application, the disabled ones included. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore) -> None:
        self._store = users

    def find_profile(self, user_id: str) -> Document | None:
        """Return the profile of a user."""
        with self._store.operation("directory.find_profile"):
            return self._store.collection.find_one({"_id": user_id}, PROFILE)

    def list_page(self, limit: int, after: str | None) -> list[Document]:
        """Return the profiles of the next users, by id; `after`: the id that they come after."""
        return self._find({"_id": {"$gte": ""} if after is None else {"$gt": after}}, "_id", limit)

    def search_by_email(self, beginnings: Sequence[str], limit: int, after: str | None) -> list[Document]:
        """Return the profiles of the next users whose address begins in one of these ways, by address.

        Args:
            beginnings: Of the address as it is stored.
            limit: The most that are returned.
            after: The address that they come after.

        """
        later = {} if after is None else {"$gt": after}
        ranges = [{"email": {"$gte": begin, "$lt": begin + LAST_CHARACTER, **later}} for begin in beginnings]
        return self._find({"$or": ranges}, "email", limit)

    def update_any(self, user_id: str, *stages: Document, **unchanged: Any) -> Document | None:
        """Change a user, disabled or not, in one atomic operation; return the profile as it is then.

        Args:
            user_id: Whose document.
            stages: From `changes`.
            unchanged: What must still be so, or else nothing is done and None returned.

        """
        with self._store.operation("directory.update_any"):
            return self._store.collection.find_one_and_update(
                {"_id": user_id, **unchanged}, [*stages], projection=PROFILE, return_document=ReturnDocument.AFTER
            )

    def _find(self, query: Document, key: str, limit: int) -> list[Document]:
        with self._store.operation("directory.list_page"):
            return list(self._store.collection.find(query, PROFILE, sort=[(key, 1)], limit=limit))
