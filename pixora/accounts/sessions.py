"""The sessions of a user, kept inside the user's document.

There, the read that loads a user for a protected route also answers whether the session still exists: ending one
is immediate and costs no request anything. A session is `id` (24 hexadecimal digits), `salt` (bytes), `generation`
(how often it was refreshed), `created_at`, `last_used_at` (when it was last refreshed) and `user_agent`. Once refreshed
it also has `answered`: the `generation` whose token was last ready to be sent, and since when (`at`); and `repeats`:
how often the token of the generation before has come again.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from pymongo import ReturnDocument, WriteConcern

from pixora.accounts.roles import ENABLED
from pixora.accounts.store import UserStore
from pixora.database.client import Document
from pixora.errors import DatabaseUnavailable, InvalidToken


class Lifetimes(NamedTuple):
    """How long sessions last, and how many a user may have."""

    idle: timedelta
    absolute: timedelta
    max_sessions: int

    def end_of(self, session: Document) -> datetime:
        """Return when a session ends if it is not used again."""
        end: datetime = min(session["last_used_at"] + self.idle, session["created_at"] + self.absolute)
        return end

    def has_ended(self, session: Document, now: datetime) -> bool:
        """Tell whether a session has been idle, or has lasted, for too long."""
        return self.end_of(session) <= now


def in_session(session_id: str) -> Document:
    """Return the condition of a write that a session has allowed: it has not ended since it was looked at."""
    return {"sessions.id": session_id}


class SessionStore:
    """Opens, moves on and ends sessions. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore, lifetimes: Lifetimes) -> None:
        self._store = users
        self.lifetimes = lifetimes

    def open(self, user_id: str, session: Document, password_hash: str) -> bool:
        """Add a session; the least recently used ones give way.

        Return False, changing nothing, when this password hash is no longer stored, or the user was disabled: that has
        ended all sessions, and none may be opened after it with what was checked before.
        """
        sessions = {"$concatArrays": [self._living(session["created_at"]), [{"$literal": session}]]}
        newest_first = {"$sortArray": {"input": sessions, "sortBy": {"last_used_at": -1, "created_at": -1}}}
        update = [{"$set": {"sessions": {"$slice": [newest_first, self.lifetimes.max_sessions]}}}]
        with self._store.operation("sessions.open"):
            result = self._store.collection.update_one({"_id": user_id, "password": password_hash, **ENABLED}, update)
        return result.matched_count == 1

    def find_session(self, user_id: str, session_id: str) -> Document | None:
        """Return a session of a user who is not disabled."""
        with self._store.operation("sessions.find"):
            user = self._store.collection.find_one(
                {"_id": user_id, "sessions.id": session_id, **ENABLED},
                {"sessions": {"$elemMatch": {"id": session_id}}},
            )
        return user["sessions"][0] if user else None

    def advance(self, user_id: str, session_id: str, generation: int, now: datetime) -> bool:
        """Move a session on from `generation` to the next, and drop the user's ended ones, in one atomic operation.

        Return False, changing nothing, when the session is no longer at `generation`, for another request was first, or
        the user was disabled.
        """
        moved = {"$mergeObjects": ["$$session", {"generation": generation + 1, "last_used_at": now, "repeats": 0}]}
        this = {"$eq": ["$$session.id", session_id]}
        sessions = {
            "$map": {
                "input": self._living(now),
                "as": "session",
                "in": {"$cond": [this, moved, "$$session"]},
            }
        }
        at_generation = {"$elemMatch": {"id": session_id, "generation": generation}}
        with self._store.operation("sessions.advance"):
            user = self._store.collection.find_one_and_update(
                {"_id": user_id, "sessions": at_generation, **ENABLED},
                [{"$set": {"sessions": sessions}}],
                projection={"_id": 1},
                return_document=ReturnDocument.AFTER,
            )
        return user is not None

    def repeat(self, user_id: str, session_id: str, generation: int, limit: int) -> bool:
        """Count that the token before `generation` has come again; return False, and do nothing, if it may not.

        The write is acknowledged by a majority, and with it the one that has moved the session on: a token of a
        generation that a failover could roll back is not handed out.

        Args:
            user_id: Whose.
            session_id: Of the session.
            generation: Where it must be.
            limit: How often this may happen for one generation.

        """
        fewer = {"$not": {"$gte": limit}}  # also where there is no count
        wanted = {"$elemMatch": {"id": session_id, "generation": generation, "repeats": fewer}}
        with self._store.operation("sessions.repeat"):
            result = self._store.collection.update_one(
                {"_id": user_id, "sessions": wanted, **ENABLED}, {"$inc": {"sessions.$.repeats": 1}}
            )
        return result.matched_count == 1

    def note_answer(self, user_id: str, session_id: str, generation: int, now: datetime) -> None:
        """Note that the token of `generation` is ready to be sent; never failing, and not waiting for a majority.

        Where this gets lost, the token before it is taken for somewhat longer.
        """
        collection = self._store.collection.with_options(write_concern=WriteConcern(w=1))
        this = {"$elemMatch": {"id": session_id, "generation": generation}}
        noted = {"sessions.$.answered": {"generation": generation, "at": now}}
        with suppress(DatabaseUnavailable), self._store.operation("sessions.note_answer"):
            collection.update_one({"_id": user_id, "sessions": this}, {"$set": noted})

    def require(self, user_id: str, session_id: str) -> None:
        """Raise `InvalidToken` when a session has ended, or its user is disabled or gone."""
        if self.find_session(user_id, session_id) is None:
            raise InvalidToken

    def end(self, user_id: str, session_id: str, *, by: str | None = None) -> bool:
        """End a session; return False when there is none.

        Args:
            user_id: Whose.
            session_id: Of the session.
            by: The session that asks for it, where another one does: it must exist, too.

        """
        both = {"sessions.id": {"$all": [session_id, by or session_id]}}
        with self._store.operation("sessions.end"):
            result = self._store.collection.update_one(
                {"_id": user_id, **both}, {"$pull": {"sessions": {"id": session_id}}}
            )
        return result.modified_count == 1

    def end_all(self, user_id: str, *, by: str, keep: str | None = None) -> bool:
        """End the sessions of a user, all but one where one is named; return False when there was none to end.

        Args:
            user_id: Whose.
            by: The session that asks for it.
            keep: The session that goes on.

        Raises:
            InvalidToken: the session that asks has ended.

        """
        with self._store.operation("sessions.end_all"):
            result = self._store.collection.update_one(
                {"_id": user_id, **in_session(by)}, {"$pull": {"sessions": {"id": {"$ne": keep}}}}
            )
        if result.matched_count == 0:
            raise InvalidToken
        return result.modified_count == 1

    def list_active(self, user_id: str, now: datetime, *, by: str) -> list[Document]:
        """Return the living sessions of a user, the one used last first, without their salts.

        Args:
            user_id: Whose.
            now: When.
            by: The session that asks for it.

        Raises:
            InvalidToken: the session that asks has ended.

        """
        with self._store.operation("sessions.list"):
            user = self._store.collection.find_one({"_id": user_id, **in_session(by)}, {"sessions": 1})
        if user is None:
            raise InvalidToken
        living = [session for session in user["sessions"] if not self.lifetimes.has_ended(session, now)]
        return sorted(living, key=lambda session: session["last_used_at"], reverse=True)

    def _living(self, now: datetime) -> Document:
        """Return the expression, for an update, of the sessions that have not ended."""
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
