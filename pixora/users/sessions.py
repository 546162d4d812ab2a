"""The sessions of a user, kept inside the user's document.

There, the read that loads a user for a protected route also answers whether the session still exists: ending one
is immediate and costs no request anything. A session is `id` (24 hexadecimal digits), `salt` (bytes), `generation`
(how often it was refreshed), `created_at`, `last_used_at` (when it was last refreshed) and `user_agent`.
"""

from datetime import datetime, timedelta
from typing import NamedTuple, cast

from flask import Flask, current_app
from pymongo import ReturnDocument
from werkzeug.local import LocalProxy

from pixora.database import Document
from pixora.users.standing import ENABLED
from pixora.users.store import UserStore


class Lifetimes(NamedTuple):
    """How long sessions last, and how many a user may have."""

    idle: timedelta
    absolute: timedelta
    most: int

    def end_of(self, session: Document) -> datetime:
        """Return when a session ends if it is not used again."""
        end: datetime = min(session["last_used_at"] + self.idle, session["created_at"] + self.absolute)
        return end

    def has_ended(self, session: Document, now: datetime) -> bool:
        """Tell whether a session has been idle, or has lasted, for too long."""
        return self.end_of(session) <= now


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
        update = [{"$set": {"sessions": {"$slice": [newest_first, self.lifetimes.most]}}}]
        with self._store.translated_errors("sessions.open"):
            result = self._store.collection.update_one({"_id": user_id, "password": password_hash, **ENABLED}, update)
        return result.matched_count == 1

    def find(self, user_id: str, session_id: str) -> Document | None:
        """Return a session of a user who is not disabled."""
        with self._store.translated_errors("sessions.find"):
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
        moved = {"$mergeObjects": ["$$session", {"generation": generation + 1, "last_used_at": now}]}
        this = {"$eq": ["$$session.id", session_id]}
        sessions = {
            "$map": {
                "input": self._living(now),
                "as": "session",
                "in": {"$cond": [this, moved, "$$session"]},
            }
        }
        at_generation = {"$elemMatch": {"id": session_id, "generation": generation}}
        with self._store.translated_errors("sessions.advance"):
            user = self._store.collection.find_one_and_update(
                {"_id": user_id, "sessions": at_generation, **ENABLED},
                [{"$set": {"sessions": sessions}}],
                projection={"_id": 1},
                return_document=ReturnDocument.AFTER,
            )
        return user is not None

    def end(self, user_id: str, session_id: str) -> bool:
        """End a session; return False when there is none."""
        with self._store.translated_errors("sessions.end"):
            result = self._store.collection.update_one(
                {"_id": user_id, "sessions.id": session_id}, {"$pull": {"sessions": {"id": session_id}}}
            )
        return result.modified_count == 1

    def end_all(self, user_id: str, *, but: str | None = None) -> bool:
        """End the sessions of a user, all but one where one is named; return False when there was none to end."""
        with self._store.translated_errors("sessions.end_all"):
            result = self._store.collection.update_one({"_id": user_id}, {"$pull": {"sessions": {"id": {"$ne": but}}}})
        return result.modified_count == 1

    def list(self, user_id: str, now: datetime) -> list[Document]:
        """Return the living sessions of a user, the one used last first, without their salts."""
        with self._store.translated_errors("sessions.list"):
            user = self._store.collection.find_one({"_id": user_id}, {"sessions": 1}) or {}
        living = [session for session in user.get("sessions", []) if not self.lifetimes.has_ended(session, now)]
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


sessions = cast(SessionStore, LocalProxy(lambda: current_app.extensions["sessions"]))
"""The sessions of the current application."""


def init_app(app: Flask) -> None:
    """Give `app` its store of sessions; after `store.init_app`."""
    lifetimes = Lifetimes(
        idle=timedelta(days=app.config["REFRESH_IDLE_DAYS"]),
        absolute=timedelta(days=app.config["REFRESH_ABSOLUTE_DAYS"]),
        most=app.config["MAX_SESSIONS_PER_USER"],
    )
    app.extensions["sessions"] = SessionStore(app.extensions["users"], lifetimes)
