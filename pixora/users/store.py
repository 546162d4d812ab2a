"""The collection `users`: the only place that reads and writes it.

A document, as the FastAPI service wrote it and as we do: `_id` (the 24 hex digits of an ObjectId, a string),
`first_name`, `last_name`, `email`, `password` (a bcrypt hash), `contact`, `birthday` (strings), `created_at`,
`updated_at` (BSON dates). We add `sessions`, see `pixora.users.sessions`, and `letters`, see `pixora.users.letters`.
Old documents may hold an e-mail address in mixed case and a contact in free text.
"""

from collections.abc import Mapping
from typing import Any, cast

from bson import ObjectId
from flask import Flask, current_app
from pymongo import IndexModel
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from werkzeug.local import LocalProxy

from pixora import clock
from pixora.database import Database, Document, Indexes
from pixora.errors import EmailTaken

INDEXES: Indexes = {
    "users": [
        IndexModel([("email", 1)], name="email_1", unique=True),
        IndexModel([("letters.due_at", 1)], name="letters.due_at_1", sparse=True),
    ]
}

PROFILE = {"password": 0, "sessions": 0}
CREDENTIALS = {"sessions": 0}


class UserStore:
    """The users of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database.collection("users")
        self.translated_errors = database.translated_errors

    @property
    def collection(self) -> Collection[Document]:
        """The collection, for this store and that of the sessions."""
        # Raises until the unique index is there: without it two sign-ups could share an address.
        self._database.prepare()
        return self._collection

    def create(self, profile: Mapping[str, Any], password_hash: str) -> str:
        """Store a new user and return the id.

        Args:
            profile: `first_name`, `last_name`, `email` in canonical form, `contact`, `birthday`.
            password_hash: From `passwords.hash_password`.

        Raises:
            EmailTaken: by the unique index, which alone decides it.

        """
        now = clock.utcnow()
        user_id = str(ObjectId())
        document = {"_id": user_id, **profile, "password": password_hash, "created_at": now, "updated_at": now}
        with self.translated_errors():
            try:
                self.collection.insert_one(document)
            except DuplicateKeyError as error:
                raise EmailTaken from error
        return user_id

    def find(self, user_id: str, session_id: str) -> Document | None:
        """Return a user who has this session, without the password hash and the sessions."""
        with self.translated_errors():
            return self.collection.find_one({"_id": user_id, "sessions.id": session_id}, PROFILE)

    def find_by_email(self, *spellings: str) -> Document | None:
        """Return the user with one of these addresses, the first spelling that is known, with the password hash.

        An address has one canonical spelling; documents of the FastAPI era may hold the one that was typed.
        """
        query = {"email": {"$in": list(spellings)}}
        with self.translated_errors():
            found = {user["email"]: user for user in self.collection.find(query, CREDENTIALS)}
        return next((found[spelling] for spelling in spellings if spelling in found), None)

    def replace_password_hash(self, user_id: str, old: str, new: str) -> bool:
        """Put `new` in the place of `old`; return False, changing nothing, when `old` is no longer stored."""
        with self.translated_errors():
            result = self.collection.update_one({"_id": user_id, "password": old}, {"$set": {"password": new}})
        return result.modified_count == 1


def init_app(app: Flask) -> None:
    """Give `app` its store; after `database.init_app`."""
    app.extensions["users"] = UserStore(app.extensions["database"])


store = cast(UserStore, LocalProxy(lambda: current_app.extensions["users"]))
"""The store of the current application."""
