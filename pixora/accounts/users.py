"""Users: the store, and what a stored user says. The fields are in `pixora.accounts.documents`.

Documents of the FastAPI service have no roles and do not say whether a user is disabled or has a password: these users
are enabled, have the role `user`, and a password.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from pymongo import IndexModel, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from config import Settings
from pixora.accounts.documents import ADMIN, ROLES, USER, Passkey, RecoveryCodes, TotpFactor, User
from pixora.database.client import Database, Document, Indexes, find_one
from pixora.errors import EmailTaken, InvalidToken

INDEXES: Indexes = {
    "users": [
        IndexModel([("email", 1)], name="email_1", unique=True),
        IndexModel([("letters.due_at", 1)], name="letters.due_at_1", sparse=True),
        # The expiry and the e-mail address of every one-time token.
        IndexModel([("tokens.$**", 1)], name="tokens.$**_1"),
        # For the lists of administrators. Each also holds the order of the list.
        IndexModel([("disabled", 1), ("_id", 1)], name="disabled_1__id_1"),
        IndexModel([("email_verified", 1), ("_id", 1)], name="email_verified_1__id_1"),
        IndexModel([("created_at", 1), ("_id", 1)], name="created_at_1__id_1"),
        # Only disabled users, who are few, with all that other filters ask: these are checked without the documents.
        IndexModel(
            [("disabled", 1), ("created_at", 1), ("_id", 1), ("email_verified", 1), ("email", 1)],
            name="disabled_1_created_at_1__id_1_email_verified_1_email_1",
            partialFilterExpression={"disabled": True},
        ),
        # The user of a passkey. Only users with one have an entry.
        IndexModel([("passkeys.credential_id", 1)], name="passkeys.credential_id_1", unique=True, sparse=True),
        # Only administrators, who are few.
        IndexModel([("roles", 1), ("_id", 1)], name="roles_1__id_1", partialFilterExpression={"roles": ADMIN}),
        # Only users with a second factor: which key encrypts their secret.
        IndexModel([("factors.totp.key", 1)], name="factors.totp.key_1", sparse=True),
    ]
}

PROFILE: dict[str, Any] = {
    "password": 0,
    "sessions": 0,
    "tokens": 0,
    "letters": 0,
    "factors.totp.secret": 0,
    "factors.pending_totp": 0,
    "factors.recovery_codes": 0,
    "passkeys.credential_id": 0,
    "passkeys.public_key": 0,
    "passkey_challenges": 0,
}
CREDENTIALS = {"sessions": 0, "tokens": 0, "letters": 0, "passkeys": 0, "passkey_challenges": 0}

ENABLED: dict[str, Any] = {"disabled": {"$ne": True}}
"""The condition of a query for enabled users."""

ENABLED_ADMIN: dict[str, Any] = {"roles": ADMIN, "invited_at": {"$exists": False}, **ENABLED}
"""The condition of a query for enabled administrators, without those whose invitation is open."""


def is_invited(user: Mapping[str, Any]) -> bool:
    """Tell whether a user is invited, and has no password yet."""
    return "invited_at" in user


def has_password(user: Mapping[str, Any]) -> bool:
    """Tell whether a user has a password: not before the invitation is accepted, nor after it was removed.

    Profiles leave out the hash, so the document says it a second time, in the same atomic updates.
    """
    return not is_invited(user) and "password_removed_at" not in user


def is_disabled(user: Mapping[str, Any]) -> bool:
    """Tell whether a user is disabled."""
    return user.get("disabled") is True


def roles_of(user: Mapping[str, Any]) -> list[str]:
    """Return the known roles of a user."""
    stored = list(user.get("roles") or [])
    return [role for role in ROLES if role in stored] or [USER]


def is_admin(user: Mapping[str, Any]) -> bool:
    """Tell whether a user is an administrator, enabled or disabled."""
    return ADMIN in roles_of(user)


def totp_of(user: Mapping[str, Any]) -> TotpFactor | None:
    """Return the TOTP factor of a user, which has its secret only where the whole document was read."""
    factor: TotpFactor | None = (user.get("factors") or {}).get("totp")
    return factor


def recovery_hashes_of(user: Mapping[str, Any]) -> list[str]:
    """Return the hashes of the recovery codes that a user has left."""
    codes: RecoveryCodes | None = (user.get("factors") or {}).get("recovery_codes")
    return codes["hashes"] if codes else []


def accepted_passkeys(user: Mapping[str, Any], settings: Settings) -> list[Passkey]:
    """Return the passkeys of a user that the service accepts: those for its RP ID, and none without origins.

    A user may have others, from before these settings were changed.
    """
    if not settings.webauthn_origins:
        return []
    return [passkey for passkey in user.get("passkeys", []) if passkey.get("rp_id") == settings.webauthn_rp_id]


class UserStore:
    """The users of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.unprepared_collection = cast(Collection[User], database.collection("users"))
        self.operation = database.operation

    @property
    def collection(self) -> Collection[User]:
        """The collection, once its indexes exist: without the unique one, two sign-ups could share an address."""
        self._database.prepare()
        return self.unprepared_collection

    def create_user(self, user: User) -> None:
        """Store a new user, from `documents.new_user`; raise `EmailTaken`, which the unique index decides."""
        with self.email_taken("users.create"):
            self.collection.insert_one(user)

    def find_in_session(self, user_id: str, session_id: str) -> User:
        """Return the profile of an enabled user who has this session.

        Raises:
            InvalidToken: The session has ended, or the user is disabled or deleted.

        """
        with self.operation("users.find"):
            # A query by `_id` alone needs no query plan, which is a fifth of MongoDB's CPU for this read.
            wanted = PROFILE | {"sessions": {"$elemMatch": {"id": session_id}}}
            user = cast("User | None", find_one(self.collection, {"_id": user_id}, wanted))
        if user is None or is_disabled(user) or not user.pop("sessions", None):
            raise InvalidToken
        return user

    def find_by_email(self, *spellings: str) -> User | None:
        """Return the user whose address has the first of these spellings that is stored, with the password hash.

        Documents of the FastAPI service may hold an address in the spelling that was typed.
        """
        query = {"email": {"$in": list(spellings)}}
        with self.operation("users.find_by_email"):
            found = {user["email"]: user for user in self.collection.find(query, CREDENTIALS)}
        return next((found[spelling] for spelling in spellings if spelling in found), None)

    def find_credentials(self, user_id: str) -> User | None:
        """Return a user by id, with the password hash."""
        with self.operation("users.find_credentials"):
            return self.collection.find_one({"_id": user_id}, CREDENTIALS)

    def find_everything(self, user_id: str, session_id: str) -> User:
        """Return everything stored about the user, except the password hash, as `find_fields` does."""
        return self.find_fields("users.find_all", user_id, session_id, {"password": 0})

    def find_fields(self, operation: str, user_id: str, session_id: str, wanted: Document) -> User:
        """Return these fields of an enabled user who has this session; raise `InvalidToken` if there is none."""
        with self.operation(operation):
            user = self.collection.find_one({"_id": user_id, "sessions.id": session_id, **ENABLED}, wanted)
        if user is None:
            raise InvalidToken
        return user

    def update_user(self, user_id: str, *stages: Document, **unchanged: Any) -> bool:
        """Update an enabled user in one atomic operation; return False if there is none such.

        `stages` are from `pixora.accounts.updates`; `unchanged` are further conditions, such as fields that must still
        have the value that was read.

        Raises:
            EmailTaken: another user has the new e-mail address.

        """
        with self.email_taken("users.change"):
            query = {"_id": user_id, **ENABLED, **unchanged}
            return self.collection.update_one(query, [*stages]).matched_count == 1

    def update_profile(self, user_id: str, *stages: Document, **unchanged: Any) -> User | None:
        """Update an enabled user as `update_user` does; return the new profile, or None if there is none such."""
        with self.operation("users.change_profile"):
            return self.collection.find_one_and_update(
                {"_id": user_id, **ENABLED, **unchanged},
                [*stages],
                projection=PROFILE,
                return_document=ReturnDocument.AFTER,
            )

    def delete_user(self, user_id: str, **unchanged: Any) -> bool:
        """Delete an enabled user, under the conditions of `update_user`; return False if there is none such."""
        with self.operation("users.delete"):
            return self.collection.delete_one({"_id": user_id, **ENABLED, **unchanged}).deleted_count == 1

    def replace_password_hash(self, user_id: str, old: str, new: str) -> bool:
        """Replace a password hash; return False if the old one is no longer stored."""
        with self.operation("users.replace_password_hash"):
            result = self.collection.update_one({"_id": user_id, "password": old}, {"$set": {"password": new}})
        return result.modified_count == 1

    @contextmanager
    def email_taken(self, operation: str) -> Iterator[None]:
        """Run an operation; turn a violation of the unique index into `EmailTaken`."""
        with self.operation(operation):
            try:
                yield
            except DuplicateKeyError as error:
                raise EmailTaken from error
