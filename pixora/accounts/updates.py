"""The stages of an atomic update of a user document.

User input goes in as `$literal`: otherwise a name like "$password" would read that field.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pixora.accounts.documents import Email
from pixora.database.client import Document
from pixora.tokens.one_time import OneTimeTokenRecord, Purpose

MAX_EMAILS = 20
"""How many e-mails may wait for one user; the oldest are dropped. This bounds the document where no mail is sent."""


def set_fields(fields: Mapping[str, Any], now: datetime) -> Document:
    """Set fields, remove those that are None, and advance `updated_at` to a value it never had: it makes the ETag."""
    values = {name: "$$REMOVE" if value is None else {"$literal": value} for name, value in fields.items()}
    return set_expressions(values, now)


def set_password(password_hash: str, now: datetime, **fields: Any) -> Document:
    """Set the password of a user, who may have had none, and other fields."""
    return set_fields({"password": password_hash, "invited_at": None, "password_removed_at": None, **fields}, now)


def remove_password(now: datetime) -> Document:
    """Remove the password of a user."""
    return set_fields({"password": None, "password_removed_at": now}, now)


def set_expressions(expressions: Mapping[str, Any], now: datetime) -> Document:
    """Set fields to MongoDB expressions, which must not contain user input, and advance `updated_at`."""
    return {"$set": {**expressions, "updated_at": {"$max": [now, {"$add": ["$updated_at", 1]}]}}}


def queue_emails(*emails: Email) -> Document:
    """Put e-mails from `Outbox.compose` into the outbox."""
    waiting = {"$concatArrays": [{"$ifNull": ["$letters", []]}, {"$literal": list(emails)}]}
    return {"$set": {"letters": {"$slice": [waiting, -MAX_EMAILS]}}}


def store_token(purpose: str, record: OneTimeTokenRecord) -> Document:
    """Store a one-time token in place of an older one of the same purpose."""
    return {"$set": {f"tokens.{purpose}": {"$literal": record}}}


def end_tokens(*purposes: str) -> Document:
    """Remove the one-time tokens of these purposes."""
    return {"$unset": [f"tokens.{purpose}" for purpose in purposes]}


END_EMAIL_CHANGE = end_tokens(Purpose.CHANGE_EMAIL)
"""End a pending change of e-mail, whose link needs neither password nor session. It goes with each change of what a
user can log in with, and with each session that is ended for somebody else: a thief may have requested it."""


def end_sessions(*, keep: str | None = None) -> list[Document]:
    """End all sessions except `keep`, and a pending change of e-mail."""
    return _filter_sessions({"$eq": ["$$session.id", keep]})


def end_session(session_id: str) -> list[Document]:
    """End one session, and a pending change of e-mail."""
    return _filter_sessions({"$ne": ["$$session.id", session_id]})


def _filter_sessions(kept: Document) -> list[Document]:
    sessions = {"$filter": {"input": {"$ifNull": ["$sessions", []]}, "as": "session", "cond": kept}}
    return [{"$set": {"sessions": sessions}}, END_EMAIL_CHANGE]
