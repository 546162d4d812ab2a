"""The sessions of a user, stored in the user document.

The read that loads the user for a protected route therefore also answers whether the session still exists: revocation
is immediate and costs no extra query.

Other modules end sessions by `updates.end_sessions`, in the same atomic update as their change: of a password
(`pixora.users.password`, `pixora.auth.recovery`, `pixora.passkeys.password_removal`), a new second factor
(`pixora.factors.management`), or disabling a user (`pixora.admin.service`).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo import ReturnDocument, WriteConcern

from pixora.accounts import assurance, updates
from pixora.accounts.assurance import Authentication
from pixora.accounts.documents import Session, User
from pixora.accounts.factors import FactorUse
from pixora.accounts.users import ENABLED, UserStore
from pixora.database.client import Document
from pixora.errors import DatabaseUnavailable, InvalidToken

IN_TOKENS = {"roles": 1, "email": 1, "email_verified": 1, "app_metadata": 1}
"""The fields of a user that `TOKEN_CLAIMS` can put into access tokens."""


class Lifetimes(NamedTuple):
    """How long sessions last, and how many a user may have."""

    idle: timedelta
    absolute: timedelta
    max_sessions: int

    def end_of(self, session: Mapping[str, Any]) -> datetime:
        """Return when a session ends unless it is refreshed."""
        end: datetime = min(session["last_used_at"] + self.idle, session["created_at"] + self.absolute)
        return end

    def for_display(self, session: Mapping[str, Any]) -> Document:
        """Return a session with how it was opened, and with its end."""
        return {**session, **assurance.of_session(session), "expires_at": self.end_of(session)}

    def list_active(self, sessions: Sequence[Session], now: datetime) -> list[Document]:
        """Return the sessions that have not ended, for display, the most recently used first."""
        active = [session for session in sessions if not self.has_ended(session, now)]
        newest_first = sorted(active, key=lambda session: session["last_used_at"], reverse=True)
        return [self.for_display(session) for session in newest_first]

    def has_ended(self, session: Mapping[str, Any], now: datetime) -> bool:
        """Tell whether a session has passed its idle or its absolute limit."""
        return self.end_of(session) <= now


def in_session(session_id: str) -> Document:
    """Return the condition that a session still exists, for a write that it has allowed."""
    return {"sessions.id": session_id}


def upgrade_session(session_id: str) -> Document:
    """Return the stage after which a session counts as one with two factors."""
    return _change_session(session_id, assurance.upgraded("$$session"))


def _change_session(session_id: str, changed: Document, sessions: str | Document = "$sessions") -> Document:
    """Return the stage that replaces a session by an expression of it, `$$session`, and leaves these sessions."""
    each = {"$cond": [{"$eq": ["$$session.id", session_id]}, changed, "$$session"]}
    return {"$set": {"sessions": {"$map": {"input": sessions, "as": "session", "in": each}}}}


class SessionStore:
    """Opens, advances and ends sessions. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore, lifetimes: Lifetimes) -> None:
        self._store = users
        self.lifetimes = lifetimes

    def open(self, user_id: str, session: Session, password_hash: str, factor: FactorUse) -> bool:
        """Add a session, dropping the least recently used ones over the limit.

        Return False, changing nothing, if this password hash is no longer stored, the user is disabled, or the use of
        the second factor is no longer possible; with `NO_FACTOR`, if the user has one.
        """
        update = [self.opening(session), *factor.stages]
        allowed = {"_id": user_id, "password": password_hash, **ENABLED, **factor.condition}
        with self._store.operation("sessions.open"):
            result = self._store.collection.update_one(allowed, update)
        return result.matched_count == 1

    def opening(self, session: Session) -> Document:
        """Return the stage that adds a session, and drops the least recently used ones over the limit."""
        sessions = {"$concatArrays": [self._active(session["created_at"]), [{"$literal": session}]]}
        newest_first = {"$sortArray": {"input": sessions, "sortBy": {"last_used_at": -1, "created_at": -1}}}
        return {"$set": {"sessions": {"$slice": [newest_first, self.lifetimes.max_sessions]}}}

    def find_session(self, user_id: str, session_id: str) -> Session | None:
        """Return a session of an enabled user."""
        with self._store.operation("sessions.find"):
            user = self._store.collection.find_one(
                {"_id": user_id, "sessions.id": session_id, **ENABLED},
                {"sessions": {"$elemMatch": {"id": session_id}}},
            )
        return user["sessions"][0] if user else None

    def advance(self, user_id: str, session_id: str, generation: int, now: datetime) -> User | None:
        """Move a session from `generation` to the next, and drop ended sessions, in one atomic operation.

        Return the user, with what tokens say of users. Return None, changing nothing, if the session is no longer at
        `generation` or the user is disabled.
        """
        advanced = {"$mergeObjects": ["$$session", {"generation": generation + 1, "last_used_at": now, "repeats": 0}]}
        at_generation = {"$elemMatch": {"id": session_id, "generation": generation}}
        with self._store.operation("sessions.advance"):
            return self._store.collection.find_one_and_update(
                {"_id": user_id, "sessions": at_generation, **ENABLED},
                [_change_session(session_id, advanced, self._active(now))],
                projection=IN_TOKENS,
                return_document=ReturnDocument.AFTER,
            )

    def repeat(self, user_id: str, session_id: str, generation: int, limit: int) -> User | None:
        """Count one more use of the token before `generation`, and return the user; None if `limit` is reached.

        A majority acknowledges this write, and with it the one that advanced the session: a failover cannot roll back
        the generation whose token is handed out.
        """
        below_limit = {"$not": {"$gte": limit}}  # also true where there is no count
        wanted = {"$elemMatch": {"id": session_id, "generation": generation, "repeats": below_limit}}
        with self._store.operation("sessions.repeat"):
            return self._store.collection.find_one_and_update(
                {"_id": user_id, "sessions": wanted, **ENABLED},
                {"$inc": {"sessions.$.repeats": 1}},
                projection=IN_TOKENS,
            )

    def renew_authentication(
        self,
        user_id: str,
        session_id: str,
        authentication: Authentication,
        condition: Document,
        stages: Sequence[Document],
    ) -> tuple[User, Session] | None:
        """Record a new authentication in a session; return the user, with what tokens say of users, and the session.

        Return None, changing nothing, if the session has ended, the user is disabled, or `condition` does not hold.
        That is what the password, the second factor or the passkey requires, and `stages` what they record.
        """
        renewed = _change_session(session_id, {"$mergeObjects": ["$$session", {"$literal": authentication}]})
        with self._store.operation("sessions.renew_authentication"):
            user = self._store.collection.find_one_and_update(
                {"_id": user_id, **condition, **in_session(session_id), **ENABLED},
                [renewed, *stages],
                projection=IN_TOKENS | {"sessions": {"$elemMatch": {"id": session_id}}},
                return_document=ReturnDocument.AFTER,
            )
        return (user, user["sessions"][0]) if user else None

    def note_answer(self, user_id: str, session_id: str, generation: int, now: datetime) -> None:
        """Record that the token of `generation` is ready to be sent, without waiting for a majority; never fail.

        If the record is lost, the previous token is accepted somewhat longer.
        """
        collection = self._store.collection.with_options(write_concern=WriteConcern(w=1))
        at_generation = {"$elemMatch": {"id": session_id, "generation": generation}}
        answered = {"sessions.$.answered": {"generation": generation, "at": now}}
        with suppress(DatabaseUnavailable), self._store.operation("sessions.note_answer"):
            collection.update_one({"_id": user_id, "sessions": at_generation}, {"$set": answered})

    def require(self, user_id: str, session_id: str) -> None:
        """Raise `InvalidToken` if a session has ended, or its user is disabled or deleted."""
        if self.find_session(user_id, session_id) is None:
            raise InvalidToken

    def log_out(self, user_id: str, session_id: str) -> bool:
        """End a session for its own client; return False if it does not exist."""
        with self._store.operation("sessions.log_out"):
            result = self._store.collection.update_one(
                {"_id": user_id, **in_session(session_id)}, {"$pull": {"sessions": {"id": session_id}}}
            )
        return result.modified_count == 1

    def end(self, user_id: str, session_id: str, *, by: str | None = None) -> bool:
        """End a session, which may be a thief's, and a pending change of e-mail.

        Return False, changing nothing, if it does not exist, or the session `by` that asks for it does not.
        """
        both = {"sessions.id": {"$all": [session_id, by or session_id]}}
        with self._store.operation("sessions.end"):
            result = self._store.collection.update_one({"_id": user_id, **both}, updates.end_session(session_id))
        return result.modified_count == 1

    def end_all(self, user_id: str, *, by: str, keep: str | None = None) -> bool:
        """End all sessions of a user except `keep`, and a pending change of e-mail; return False if there was neither.

        Raises:
            InvalidToken: the session `by` that asks for it has ended.

        """
        with self._store.operation("sessions.end_all"):
            result = self._store.collection.update_one(
                {"_id": user_id, **in_session(by)}, updates.end_sessions(keep=keep)
            )
        if result.matched_count == 0:
            raise InvalidToken
        return result.modified_count == 1

    def list_active(self, user_id: str, now: datetime, *, by: str) -> list[Document]:
        """Return the sessions of a user that have not ended, for display, the most recently used first.

        Raises:
            InvalidToken: the session `by` that asks for it has ended.

        """
        with self._store.operation("sessions.list"):
            user = self._store.collection.find_one({"_id": user_id, **in_session(by)}, {"sessions": 1})
        if user is None:
            raise InvalidToken
        return self.lifetimes.list_active(user["sessions"], now)

    def _active(self, now: datetime) -> Document:
        """Return the expression of the sessions that have not ended."""
        return {
            "$filter": {
                "input": {"$ifNull": ["$sessions", []]},
                "as": "session",
                "cond": {
                    "$and": [
                        {"$gt": ["$$session.last_used_at", now - self.lifetimes.idle]},
                        {"$gt": ["$$session.created_at", now - self.lifetimes.absolute]},
                    ]
                },
            }
        }
