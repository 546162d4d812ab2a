"""Changes to a user's document, as the stages of one update: all of them happen, or none.

What a user has typed goes in as `$literal`: in a pipeline a name like "$password" would be that field's value.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pixora.database.client import Document

MAX_MESSAGES = 20
"""The letters that may wait for a user; the oldest give way. Where no mail is sent, the document must not grow."""


def set_fields(fields: Mapping[str, Any], now: datetime) -> Document:
    """Set some fields, and move `updated_at` on: to a time it never was before, as the ETag is made of it."""
    return set_expressions({name: {"$literal": value} for name, value in fields.items()}, now)


def set_expressions(expressions: Mapping[str, Any], now: datetime) -> Document:
    """Do what `setting` does with what MongoDB makes of these expressions; nothing that a user typed may be in them."""
    return {"$set": {**expressions, "updated_at": {"$max": [now, {"$add": ["$updated_at", 1]}]}}}


def unset_fields(*fields: str) -> Document:
    """Remove some fields."""
    return {"$unset": list(fields)}


def queue_emails(*letters: Document) -> Document:
    """Post letters, from `letters.letter`."""
    posted = {"$concatArrays": [{"$ifNull": ["$letters", []]}, {"$literal": list(letters)}]}
    return {"$set": {"letters": {"$slice": [posted, -MAX_MESSAGES]}}}


def store_token(purpose: str, record: Document) -> Document:
    """Put a one-time token in the place of the one of the same purpose; `record` has no secret."""
    return {"$set": {f"tokens.{purpose}": {"$literal": record}}}


def end_tokens(*purposes: str) -> Document:
    """End the one-time tokens of these purposes."""
    return {"$unset": [f"tokens.{purpose}" for purpose in purposes]}


def end_sessions(*, keep: str | None = None) -> Document:
    """End all sessions but one where one is named."""
    others = {"$filter": {"input": {"$ifNull": ["$sessions", []]}, "as": "one", "cond": {"$eq": ["$$one.id", keep]}}}
    return {"$set": {"sessions": others}}
