"""The outbox: letters that wait in the document of the user they concern, until `pixora.mail` has sent them.

There, one and the same operation changes an account and posts what must be told about it: neither can be without the
other. A letter is `id` (24 hexadecimal digits), `template`, `to` (an address), `token` (a one-time token, encrypted;
or absent), `context` (text for the template, nothing secret), `created_at`, `due_at` (when to try next, or when the
sender that claimed it must be done; none once given up) and `attempts`; and, when it applies, `claim` (of the sender
that has it), `failure` (why the last attempt failed) and `given_up_at`.
"""

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography.fernet import Fernet, InvalidToken
from flask import current_app
from pymongo import ReturnDocument

from pixora.accounts.store import UserStore
from pixora.database.client import Document
from pixora.tokens.crypto import cipher

TEMPLATES = (
    "verify_email",
    "reset_password",
    "change_email",
    "email_changing",
    "email_changed",
    "password_changed",
    "address_taken",
)

ERASED = "(deleted)"
"""In the place of an address whose owner was erased."""

LEASE = timedelta(minutes=5)
"""How long a letter stays with the sender that has claimed it: longer than sending one can take."""

KEPT = timedelta(days=30)
"""How long a letter that was given up can be seen."""


BACKLOG_SECONDS = 1.0
"""How long counting the letters may take."""

MOST_COUNTED = 20_000
"""Users whose letters are counted, those with the one that is due first before the others: a tenth of a second."""


class UnreadableToken(Exception):
    """The token of a letter was encrypted under another `SECRET_KEY`."""


class Claimed(NamedTuple):
    """A letter of a user, and the one-time tokens the user has now, by purpose."""

    user_id: str
    email: Document
    tokens: Document


class Backlog(NamedTuple):
    """What waits in the outbox: since when a letter is due (or from when on, or None), and how many there are.

    `new`: those that were not tried yet, or whose first sender is at them; `failed`: those that are to be tried again.
    """

    due_since: datetime | None
    new: int
    failed: int


def compose(template: str, to: str, now: datetime, *, secret: str | None = None, **context: str) -> Document:
    """Return a new letter, to be pushed to `letters` by the operation that causes it.

    Args:
        template: One of `TEMPLATES`.
        to: The address it goes to.
        now: It may be sent from then on.
        secret: A one-time token, for the link in it. It is encrypted with a key derived from `SECRET_KEY`: the
            database never has it in clear.
        context: More for the template to tell; nothing secret.

    """
    if template not in TEMPLATES:
        raise ValueError(f"there is no letter {template}")
    token = {} if secret is None else {"token": _cipher().encrypt(secret.encode())}
    return {
        "id": secrets.token_hex(12),
        "template": template,
        "to": to,
        **token,
        "context": context,
        "created_at": now,
        "due_at": now,
        "attempts": 0,
    }


def decrypt_token(email: Document) -> str | None:
    """Return the one-time token of a letter, in clear.

    Raises:
        UnreadableToken: `SECRET_KEY` is not the one it was made under.

    """
    if "token" not in email:
        return None
    try:
        return _cipher().decrypt(email["token"]).decode()
    except InvalidToken as error:
        raise UnreadableToken from error


def _cipher() -> Fernet:
    return cipher(current_app.config["SECRET_KEY"], "pixora letters 1")


class Outbox:
    """Hands letters to senders, each to one at a time. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore) -> None:
        self._store = users

    def claim(self, now: datetime) -> Claimed | None:
        """Return the letter that is due for the longest time, for `LEASE` nobody else's; None when none is due.

        The attempt is counted here: a letter whose sender dies of it is not tried for ever.
        """
        claim = secrets.token_hex(12)
        update = {
            "$set": {"letters.$.due_at": now + LEASE, "letters.$.claim": claim},
            "$inc": {"letters.$.attempts": 1},
        }
        with self._store.operation("outbox.claim"):
            user = self._store.collection.find_one_and_update(
                {"letters": {"$elemMatch": {"due_at": {"$lte": now}}}},
                update,
                projection={"letters": {"$elemMatch": {"claim": claim}}, "tokens": 1},
                sort={"letters.due_at": 1},
                return_document=ReturnDocument.AFTER,
            )
        return Claimed(user["_id"], user["letters"][0], user.get("tokens", {})) if user else None

    def remove(self, user_id: str, letter_id: str) -> None:
        """Forget a letter: it was sent, or has become pointless."""
        with self._store.operation("outbox.remove"):
            self._store.collection.update_one({"_id": user_id}, {"$pull": {"letters": {"id": letter_id}}})

    def postpone(self, claimed: Claimed, due_at: datetime, failure: str) -> None:
        """Give a letter back, to be tried again from `due_at` on; unless another sender has it by now."""
        self._set(claimed, {"due_at": due_at, "failure": failure})

    def give_up(self, claimed: Claimed, now: datetime, failure: str) -> None:
        """Keep a letter to be looked at, and never try it again; unless another sender has it by now."""
        self._set(claimed, {"due_at": None, "given_up_at": now, "failure": failure})

    def _set(self, claimed: Claimed, fields: Document) -> None:
        mine = {"$elemMatch": {"id": claimed.email["id"], "claim": claimed.email["claim"]}}
        update = {
            "$set": {f"letters.$.{name}": value for name, value in fields.items()},
            "$unset": {"letters.$.claim": True},
        }
        with self._store.operation("outbox.settle"):
            self._store.collection.update_one({"_id": claimed.user_id, "letters": mine}, update)

    def delete_expired(self, now: datetime) -> None:
        """Forget the letters that were given up long ago."""
        old = {"due_at": {"$type": "null"}, "given_up_at": {"$lte": now - KEPT}}
        with self._store.operation("outbox.delete_expired"):
            self._store.collection.update_many({"letters": {"$elemMatch": old}}, {"$pull": {"letters": old}})

    def forget_email(self, *spellings: str) -> None:
        """Forget the letters of others to an address whose owner was erased; take it out of those that tell of it."""
        waiting, those = {"letters.due_at": {"$exists": True}}, {"$in": list(spellings)}
        with self._store.operation("outbox.forget_email"):
            users = self._store.collection
            users.update_many({**waiting, "letters.to": those}, {"$pull": {"letters": {"to": those}}})
            users.update_many(
                {**waiting, "letters.context.new_email": those},
                {"$set": {"letters.$[one].context.new_email": ERASED}},
                array_filters=[{"one.context.new_email": those}],
            )

    def backlog(self) -> Backlog:
        """Return what waits to be sent, within a second or not at all."""
        waiting = {"letters.due_at": {"$type": "date"}}
        number: list[Document] = [
            {"$match": waiting},  # by the index, and so the earliest first
            {"$limit": MOST_COUNTED},
            {"$project": {"letters.due_at": 1, "letters.failure": 1}},
            {"$unwind": "$letters"},
            {"$match": waiting},
            {
                "$group": {
                    "_id": None,
                    "due_since": {"$min": "$letters.due_at"},
                    "all": {"$sum": 1},
                    "new": {"$sum": {"$cond": [{"$eq": [{"$type": "$letters.failure"}, "missing"]}, 1, 0]}},
                }
            },
        ]
        with self._store.operation("outbox.backlog", at_most=BACKLOG_SECONDS):
            found = next(self._store.collection.aggregate(number), None)
        if found is None:
            return Backlog(None, 0, 0)
        return Backlog(found["due_since"], found["new"], found["all"] - found["new"])

    def list_emails(self) -> list[Claimed]:
        """Return all letters, of all users, the oldest first."""
        with self._store.operation("outbox.list"):
            users = list(
                self._store.collection.find({"letters.due_at": {"$exists": True}}, {"letters": 1, "tokens": 1})
            )
        found = [Claimed(user["_id"], letter, user.get("tokens", {})) for user in users for letter in user["letters"]]
        return sorted(found, key=lambda one: one.email["created_at"])
