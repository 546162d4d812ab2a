"""The collection `users`: the only place that reads and writes it.

A document, as the FastAPI service wrote it and as we do: `_id` (the 24 hex digits of an ObjectId, a string),
`first_name`, `last_name`, `email`, `password` (a hash, see `pixora.passwords.verify`), `contact`, `birthday` (strings),
`created_at`, `updated_at` (BSON dates). We add `email_verified` (a boolean), `roles` (strings) and `disabled`, see
`pixora.accounts.roles`, `leaving`, see `pixora.accounts.administrators`, `sessions`, see `pixora.accounts.sessions`,
`tokens`, see `pixora.accounts.one_time_tokens`, and `letters`, see `pixora.accounts.outbox`. Old documents lack these,
and may hold an e-mail address in mixed case and a contact in free text.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import IndexModel, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from pixora.accounts.roles import ADMIN, ENABLED
from pixora.database.client import Database, Document, Indexes
from pixora.errors import EmailTaken

INDEXES: Indexes = {
    "users": [
        IndexModel([("email", 1)], name="email_1", unique=True),
        IndexModel([("letters.due_at", 1)], name="letters.due_at_1", sparse=True),
        # All that one-time tokens have: when they expire, and which address they are about.
        IndexModel([("tokens.$**", 1)], name="tokens.$**_1"),
        # Of the few administrators only.
        IndexModel([("roles", 1)], name="roles_1", partialFilterExpression={"roles": ADMIN}),
    ]
}

PROFILE = {"password": 0, "sessions": 0, "tokens": 0, "letters": 0}
CREDENTIALS = {"sessions": 0, "tokens": 0, "letters": 0}


class UserStore:
    """The users of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database.collection("users")
        self.operation = database.operation

    @property
    def collection(self) -> Collection[Document]:
        """The collection, for this store and that of the sessions."""
        # Raises until the unique index is there: without it two sign-ups could share an address.
        self._database.prepare()
        return self._collection

    @staticmethod
    def new_id() -> str:
        """Return the id of a user to be."""
        return str(ObjectId())

    def create_user(self, user: Mapping[str, Any], now: datetime) -> None:
        """Store a new user.

        Args:
            user: `_id`, `first_name`, `last_name`, `email` in canonical form, `password` (a hash), `contact`,
                `birthday`, and what else is to be there from the beginning.
            now: When.

        Raises:
            EmailTaken: by the unique index, which alone decides it.

        """
        with self._taken_addresses_told("users.create"):
            self.collection.insert_one({**user, "created_at": now, "updated_at": now})

    def find_in_session(self, user_id: str, session_id: str) -> Document | None:
        """Return a user who has this session and is not disabled, without the password hash and the sessions."""
        with self.operation("users.find"):
            return self.collection.find_one({"_id": user_id, "sessions.id": session_id, **ENABLED}, PROFILE)

    def find_by_email(self, *spellings: str) -> Document | None:
        """Return the user with one of these addresses, the first spelling that is known, with the password hash.

        An address has one canonical spelling; documents of the FastAPI era may hold the one that was typed.
        """
        query = {"email": {"$in": list(spellings)}}
        with self.operation("users.find_by_email"):
            found = {user["email"]: user for user in self.collection.find(query, CREDENTIALS)}
        return next((found[spelling] for spelling in spellings if spelling in found), None)

    def find_credentials(self, user_id: str) -> Document | None:
        """Return a user by id, with the password hash."""
        with self.operation("users.find_credentials"):
            return self.collection.find_one({"_id": user_id}, CREDENTIALS)

    def find_everything(self, user_id: str, session_id: str) -> Document | None:
        """Return all that is stored about a user who has this session, but the password hash."""
        with self.operation("users.find_all"):
            return self.collection.find_one({"_id": user_id, "sessions.id": session_id, **ENABLED}, {"password": 0})

    def update_user(self, user_id: str, *stages: Document, **unchanged: Any) -> bool:
        """Change a user who is not disabled, in one atomic operation; return False, and do nothing, for another.

        Args:
            user_id: Whose document.
            stages: From `changes`.
            unchanged: What must still be as it was when it was read, too.

        Raises:
            EmailTaken: another user has the new address.

        """
        with self._taken_addresses_told("users.change"):
            query = {"_id": user_id, **ENABLED, **unchanged}
            return self.collection.update_one(query, [*stages]).matched_count == 1

    def update_profile(self, user_id: str, *stages: Document, **unchanged: Any) -> Document | None:
        """Change a user as `change` does, and return the profile as it is then; None when nothing was done."""
        with self.operation("users.change_profile"):
            return self.collection.find_one_and_update(
                {"_id": user_id, **ENABLED, **unchanged},
                [*stages],
                projection=PROFILE,
                return_document=ReturnDocument.AFTER,
            )

    def delete_user(self, user_id: str, **unchanged: Any) -> bool:
        """Remove a user and all that is in the document, under the conditions that `change` has."""
        with self.operation("users.delete"):
            return self.collection.delete_one({"_id": user_id, **ENABLED, **unchanged}).deleted_count == 1

    def replace_password_hash(self, user_id: str, old: str, new: str) -> bool:
        """Put `new` in the place of `old`; return False, changing nothing, when `old` is no longer stored."""
        with self.operation("users.replace_password_hash"):
            result = self.collection.update_one({"_id": user_id, "password": old}, {"$set": {"password": new}})
        return result.modified_count == 1

    @contextmanager
    def _taken_addresses_told(self, operation: str) -> Iterator[None]:
        """Turn what the unique index refuses into `EmailTaken`, and MongoDB's failures as ever."""
        with self.operation(operation):
            try:
                yield
            except DuplicateKeyError as error:
                raise EmailTaken from error
