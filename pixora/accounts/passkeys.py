"""The passkeys of users, stored in their documents, with the challenges that were used in the last minutes.

A challenge is used by the update that it allows: the condition requires that it is not recorded, and a stage records
it. So of many parallel requests with one credential the database lets one through, and none later. An expired record
is dropped by the next update, because the challenge itself is refused by then.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from pixora.accounts import updates
from pixora.accounts.documents import Email, Passkey, Session, User
from pixora.accounts.sessions import IN_TOKENS, SessionStore, in_session
from pixora.accounts.users import ENABLED, UserStore
from pixora.database.client import Document

MAX_PASSKEYS = 20

MAX_CHALLENGES = 100
"""How many challenges one user can use within their lifetime. It bounds the document."""

OWNER: Document = {"email": 1, "email_verified": 1, "first_name": 1, "last_name": 1, "passkeys": 1}
CHALLENGES: Document = {"passkey_challenges": 1}


WITH_PASSKEY: Document = {"passkeys.0": {"$exists": True}}
"""The condition that a user has one."""

REMOVE: Document = {"$unset": ["passkeys"]}
"""The stage that removes all. The challenges that were used stay: nobody can register a captured credential again."""


class CredentialTaken(Exception):
    """A user has the credential already."""


class ChallengeUse(NamedTuple):
    """A challenge that an update uses up."""

    nonce: bytes
    expires_at: datetime
    now: datetime

    @property
    def condition(self) -> Document:
        """The condition that it was not used before, and that the user has not used as many as allowed."""
        return {
            "passkey_challenges.nonce": {"$ne": self.nonce},
            "$expr": {"$lt": [{"$size": self._valid}, MAX_CHALLENGES]},
        }

    @property
    def stage(self) -> Document:
        """The stage that records it and drops expired ones."""
        record = {"$literal": {"nonce": self.nonce, "expires_at": self.expires_at}}
        return {"$set": {"passkey_challenges": {"$concatArrays": [self._valid, [record]]}}}

    @property
    def _valid(self) -> Document:
        """The expression for the used challenges that have not expired."""
        used = {"$ifNull": ["$passkey_challenges", []]}
        return {"$filter": {"input": used, "as": "used", "cond": {"$gt": ["$$used.expires_at", self.now]}}}

    def was_used(self, user: User) -> bool:
        """Tell whether it was used when the user was read."""
        return any(used["nonce"] == self.nonce for used in user.get("passkey_challenges", []))


class PasskeyUse(NamedTuple):
    """What a write that a passkey has allowed requires, and records in the same atomic update."""

    passkey: Passkey  # as it was read
    changes: Mapping[str, Any]  # new values of its fields
    challenge: ChallengeUse  # the challenge that it has signed

    @property
    def condition(self) -> Document:
        """The condition that the passkey is there and has not signed since, and that the challenge can be used."""
        unchanged = {"id": self.passkey["id"], "sign_count": self.passkey["sign_count"]}
        return {"passkeys": {"$elemMatch": unchanged}} | self.challenge.condition

    @property
    def stages(self) -> list[Document]:
        """The stages of the update."""
        changed = {"$mergeObjects": ["$$one", {"$literal": dict(self.changes)}]}
        each = {"$cond": [{"$eq": ["$$one.id", self.passkey["id"]]}, changed, "$$one"]}
        return [{"$set": {"passkeys": {"$map": {"input": "$passkeys", "as": "one", "in": each}}}}, self.challenge.stage]


def can_log_in(rp_id: str, *, without: str | None = None) -> Document:
    """Return the condition that a user has a passkey that this service accepts, besides the one `without` this id."""
    return {"passkeys": {"$elemMatch": {"rp_id": rp_id, "id": {"$ne": without}}}}


class PasskeyStore:
    """The passkeys of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore, sessions: SessionStore) -> None:
        self._store = users
        self._sessions = sessions

    def find_by_credential(self, credential_id: bytes) -> User | None:
        """Return the user with this credential, also if disabled: what tokens say of users, and this passkey."""
        this = {"passkeys": {"$elemMatch": {"credential_id": credential_id}}}
        with self._store.operation("passkeys.find_by_credential"):
            return self._store.collection.find_one(
                {"passkeys.credential_id": credential_id}, IN_TOKENS | CHALLENGES | {"disabled": 1} | this
            )

    def find(self, user_id: str, session_id: str) -> User:
        """Return `_id`, `OWNER` and `CHALLENGES`, as `UserStore.find_fields` does."""
        return self._store.find_fields("passkeys.find", user_id, session_id, OWNER | CHALLENGES)

    def add(self, user_id: str, session_id: str, passkey: Passkey, use: ChallengeUse, *emails: Email) -> bool:
        """Store a passkey, end a pending change of e-mail, and queue e-mails.

        Return False, changing nothing, if the session has ended, the challenge cannot be used, or the user has as many
        passkeys as a user can have.

        Raises:
            CredentialTaken: This user or another one has the credential.

        """
        passkeys = {"$concatArrays": [{"$ifNull": ["$passkeys", []]}, [{"$literal": passkey}]]}
        conditions = {
            **in_session(session_id),
            **use.condition,
            f"passkeys.{MAX_PASSKEYS - 1}": {"$exists": False},
            "passkeys.credential_id": {"$ne": passkey["credential_id"]},  # the index is unique between users only
        }
        stages = [
            {"$set": {"passkeys": passkeys}},
            use.stage,
            updates.END_EMAIL_CHANGE,
            updates.queue_emails(*emails),
        ]
        try:
            return self._update("passkeys.add", {"_id": user_id, **conditions}, stages)
        except DuplicateKeyError as error:
            raise CredentialTaken from error

    def open_session(self, user_id: str, session: Session, use: PasskeyUse) -> bool:
        """Add a session at two factors: no code is asked for, also of a user with an authenticator app.

        Return False, changing nothing, if the use of the passkey is no longer possible, or the user is disabled.
        """
        stages = [self._sessions.opening(session), *use.stages]
        return self._update("passkeys.open_session", {"_id": user_id, **use.condition}, stages)

    def report(self, user_id: str, use: PasskeyUse, *emails: Email) -> bool:
        """Use up the challenge of a refused assertion and queue e-mails; return False under the same conditions."""
        stages = [*use.stages, updates.queue_emails(*emails)]
        return self._update("passkeys.report", {"_id": user_id, **use.condition}, stages)

    def rename(self, user_id: str, session_id: str, passkey_id: str, name: str) -> Passkey | None:
        """Change the name of a passkey and return it; None if there is none such, or the session has ended."""
        query = {"_id": user_id, "passkeys.id": passkey_id, **in_session(session_id), **ENABLED}
        this = {"passkeys": {"$elemMatch": {"id": passkey_id}}}
        with self._store.operation("passkeys.rename"):
            user = self._store.collection.find_one_and_update(
                query,
                {"$set": {"passkeys.$[this].name": name}},
                array_filters=[{"this.id": passkey_id}],
                projection=this,
                return_document=ReturnDocument.AFTER,
            )
        return user["passkeys"][0] if user else None

    def remove(self, user_id: str, session_id: str, passkey_id: str, rp_id: str, *emails: Email) -> bool:
        """Remove a passkey, end a pending change of e-mail, and queue e-mails.

        Return False, changing nothing, if there is none such, the session has ended, or the user has no password and no
        other passkey for `rp_id`.
        """
        others = {"$filter": {"input": "$passkeys", "as": "one", "cond": {"$ne": ["$$one.id", passkey_id]}}}
        none_left = {"$eq": [{"$size": "$passkeys"}, 1]}
        # An empty array would have an entry in the unique index.
        stages = [
            {"$set": {"passkeys": {"$cond": [none_left, "$$REMOVE", others]}}},
            updates.END_EMAIL_CHANGE,
            updates.queue_emails(*emails),
        ]
        other_way = {"$or": [{"password": {"$type": "string"}}, can_log_in(rp_id, without=passkey_id)]}
        query = {"_id": user_id, "passkeys.id": passkey_id, **in_session(session_id), **other_way}
        return self._update("passkeys.remove", query, stages)

    def count_by_rp_id(self, at_least: float) -> dict[str | None, int]:
        """Count all passkeys by the domain that they were made for; None counts those that do not have it stored."""
        domain = {"$ifNull": ["$passkeys.rp_id", None]}
        stages: list[Document] = [
            {"$match": {"passkeys.credential_id": {"$exists": True}}},  # by the sparse index
            {"$unwind": "$passkeys"},
            {"$group": {"_id": domain, "number": {"$sum": 1}}},
        ]
        with self._store.operation("passkeys.count_by_rp_id", at_least=at_least):
            users = cast(Collection[Document], self._store.unprepared_collection)
            return {group["_id"]: group["number"] for group in users.aggregate(stages)}

    def _update(self, operation: str, query: Document, stages: list[Document]) -> bool:
        with self._store.operation(operation):
            return self._store.collection.update_one({**query, **ENABLED}, stages).matched_count == 1
