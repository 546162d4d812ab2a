"""The stages of an atomic update of a user document.

User input goes in as `$literal`: otherwise a name like "$password" would read that field.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pixora.accounts.documents import Email
from pixora.database.client import Document
from pixora.tokens.one_time import OneTimeTokenRecord, Purpose

MANY_EMAILS = 20
"""With more than so many e-mails that wait for one user, those are dropped that newer ones replace."""

MAX_ALIKE = 3
"""How many notices of one template then stay for each address. Of links only the newest stays, which alone is valid."""

MAX_EMAILS = 60
"""How many e-mails may wait for one user in any case; the oldest are dropped. It bounds the document where no mail is
sent. The templates of all notices and links to one address are fewer, so nobody can push a notice out by others."""


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
    """Put e-mails from `Outbox.compose` into the outbox, which stays bounded."""
    waiting = {"$concatArrays": [{"$ifNull": ["$letters", []]}, {"$literal": list(emails)}]}
    are_many = {"$gt": [{"$size": "$$waiting"}, MANY_EMAILS]}
    kept = {"$slice": [_not_replaced("$$waiting"), -MAX_EMAILS]}
    bounded = {"$cond": [are_many, kept, "$$waiting"]}
    return {"$set": {"letters": {"$let": {"vars": {"waiting": waiting}, "in": bounded}}}}


def _not_replaced(emails: str) -> Document:
    """Return the expression of those e-mails that have fewer newer ones alike than may wait."""
    size = {"$size": emails}
    is_link = {"$ne": [{"$type": "$$one.token"}, "missing"]}
    # To how many others an account sends `address_taken`, who requests changes to their addresses decides.
    by_template = {"$or": [is_link, {"$eq": ["$$one.template", "address_taken"]}]}
    same_address = {"$or": [by_template, {"$eq": ["$$newer.to", "$$one.to"]}]}
    alike = {"$and": [{"$eq": ["$$newer.template", "$$one.template"]}, same_address]}
    newer = {"$slice": [emails, {"$add": ["$$index", 1]}, size]}
    number_alike = {"$size": {"$filter": {"input": newer, "as": "newer", "cond": alike}}}
    is_kept = {"$lt": [number_alike, {"$cond": [is_link, 1, MAX_ALIKE]}]}
    at_index = {"$arrayElemAt": [emails, "$$index"]}
    indexes = {
        "$filter": {
            "input": {"$range": [0, size]},
            "as": "index",
            "cond": {"$let": {"vars": {"one": at_index}, "in": is_kept}},
        }
    }
    return {"$map": {"input": indexes, "as": "index", "in": at_index}}


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
