"""The outbox: e-mails that wait in the document of the user they concern until `pixora.mail` has sent them.

One atomic operation changes an account and queues the e-mails about it, so neither happens without the other.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from cryptography.fernet import InvalidToken
from pymongo import ReturnDocument

from pixora import clock
from pixora.accounts.documents import Email, User
from pixora.accounts.users import UserStore
from pixora.database.client import Document
from pixora.errors import InvalidOneTimeToken
from pixora.tokens.crypto import cipher
from pixora.tokens.one_time import OneTimeToken, OneTimeTokenRecord, Purpose

TEMPLATES = (
    "verify_email",
    "reset_password",
    "change_email",
    "email_changing",
    "email_changed",
    "password_changed",
    "password_removed",
    "passkey_added",
    "passkey_removed",
    "passkey_counter_went_back",
    "address_taken",
    "account_changed",
    "invitation",
    "factor_added",
    "factor_removed",
    "factor_reset",
    "recovery_code_used",
    "recovery_codes_renewed",
    "wrong_codes",
)

READ_WITH_EMAIL = dict.fromkeys(
    ("tokens", "email", "email_verified", "first_name", "last_name", "locale", "accept_language"), 1
)
"""The fields of a user that are read with an e-mail."""

ERASED = "(deleted)"
"""Replaces the address of an erased user."""

LEASE = timedelta(minutes=5)
"""How long a claimed e-mail is reserved for its sender: longer than sending one can take."""

KEPT = timedelta(days=30)
"""How long an e-mail that was given up is kept."""

BACKLOG_SECONDS = 1.0
"""The time limit for counting the backlog."""

MAX_COUNTED = 20_000
"""How many users the count of the backlog looks at, the earliest due first: about a tenth of a second."""

MAX_LATE = 10_000
"""How far `count_late` counts."""


class StaleLink(Exception):
    """The token has expired, was used, or was replaced by a newer one, so the e-mail need not be sent."""


class UnreadableToken(Exception):
    """The token of an e-mail was encrypted under another `SECRET_KEY`."""


class Recipient(NamedTuple):
    """What an e-mail may be adapted to."""

    languages: tuple[str, ...] = ()  # the languages of the account's user, the preferred one first
    first_name: str = ""  # empty unless the e-mail goes to the verified address of the account
    last_name: str = ""  # likewise


class Claimed(NamedTuple):
    """An e-mail of a user, and the user's current one-time tokens by purpose."""

    user_id: str
    email: Email
    tokens: dict[str, OneTimeTokenRecord]
    recipient: Recipient = Recipient()


class Backlog(NamedTuple):
    """The e-mails that wait to be sent."""

    due_since: datetime | None  # the earliest time at which one is due, which may be in the future; None if none waits
    new: int  # how many have not failed yet
    failed: int  # how many wait for another attempt


def _claimed(user: User, email: Email) -> Claimed:
    chosen = user.get("locale")
    languages = (chosen,) if chosen else tuple(user.get("accept_language", ()))
    recipient = Recipient(languages)
    if user.get("email_verified") and email["to"] == user["email"]:
        recipient = Recipient(languages, user.get("first_name") or "", user.get("last_name") or "")
    return Claimed(user["_id"], email, user.get("tokens", {}), recipient)


class Outbox:
    """Gives each waiting e-mail to one sender at a time. Methods that ask the database may raise `DatabaseUnavailable`.

    One-time tokens are stored encrypted, under a key derived from `secret_key`.
    """

    def __init__(self, users: UserStore, secret_key: str) -> None:
        self._store = users
        self._cipher = cipher(secret_key, "pixora letters 1")

    def compose(self, template: str, to: str, now: datetime, *, secret: str | None = None, **context: str) -> Email:
        """Return a new e-mail, for `updates.queue_emails`, by one of `TEMPLATES`.

        `secret` is the one-time token of its link, and `context` text for the template, nothing secret.
        """
        if template not in TEMPLATES:
            raise ValueError(f"there is no e-mail template {template}")
        email: Email = {
            "id": secrets.token_hex(12),
            "template": template,
            "to": to,
            "context": context,
            "created_at": now,
            "due_at": now,
            "attempts": 0,
        }
        if secret is not None:
            email["token"] = self._cipher.encrypt(secret.encode())
        return email

    def compose_notices(self, template: str, user: Mapping[str, Any], **context: str) -> list[Email]:
        """Return the e-mail about a change; none to an unverified address, which may be a stranger's."""
        return [self.compose(template, user["email"], clock.utcnow(), **context)] if user.get("email_verified") else []

    def compose_link(
        self, purpose: Purpose, user_id: str, to: str, now: datetime, new_email: str | None = None
    ) -> tuple[OneTimeTokenRecord, Email]:
        """Return what to store of a new one-time token, and the e-mail with its link."""
        token = OneTimeToken.make(user_id)
        return token.record(purpose, now, new_email), self.compose(purpose.value, to, now, secret=token.text)

    def decrypt_token(self, email: Email) -> str | None:
        """Return the one-time token of an e-mail, if any; raise `UnreadableToken` if `SECRET_KEY` has changed."""
        if "token" not in email:
            return None
        try:
            return self._cipher.decrypt(email["token"]).decode()
        except InvalidToken as error:
            raise UnreadableToken from error

    def link_token(self, claimed: Claimed, now: datetime) -> tuple[str, datetime] | tuple[None, None]:
        """Return the token for the link and its expiry; `(None, None)` for an e-mail without a link.

        Raises:
            StaleLink: the token is no longer valid.
            UnreadableToken: it was encrypted under another `SECRET_KEY`.

        """
        token = self.decrypt_token(claimed.email)
        if token is None:
            return None, None
        purpose = Purpose(claimed.email["template"])
        stored = claimed.tokens.get(purpose, {})
        try:
            digest = OneTimeToken.parse(token).digest(purpose)
        except InvalidOneTimeToken as error:
            raise StaleLink from error
        if stored.get("hash") != digest or stored["expires_at"] <= now:
            raise StaleLink
        return token, stored["expires_at"]

    def claim(self, now: datetime) -> Claimed | None:
        """Reserve the e-mail that has been due longest, for `LEASE`; return None if none is due.

        This counts the attempt, so that an e-mail that crashes its sender is not tried for ever.
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
                projection={"letters": {"$elemMatch": {"claim": claim}}, **READ_WITH_EMAIL},
                sort={"letters.due_at": 1},
                return_document=ReturnDocument.AFTER,
            )
        return _claimed(user, user["letters"][0]) if user else None

    def remove(self, user_id: str, email_id: str) -> None:
        """Remove an e-mail that was sent or is no longer needed."""
        with self._store.operation("outbox.remove"):
            self._store.collection.update_one({"_id": user_id}, {"$pull": {"letters": {"id": email_id}}})

    def postpone(self, claimed: Claimed, due_at: datetime, failure: str) -> None:
        """Schedule the next attempt, unless another sender has claimed the e-mail since."""
        self._settle(claimed, {"due_at": due_at, "failure": failure})

    def give_up(self, claimed: Claimed, now: datetime, failure: str) -> None:
        """Stop trying, and keep the e-mail for operators, unless another sender has claimed it since."""
        self._settle(claimed, {"due_at": None, "given_up_at": now, "failure": failure})

    def _settle(self, claimed: Claimed, fields: dict[str, Any]) -> None:
        own = {"$elemMatch": {"id": claimed.email["id"], "claim": claimed.email["claim"]}}
        update = {
            "$set": {f"letters.$.{name}": value for name, value in fields.items()},
            "$unset": {"letters.$.claim": True},
        }
        with self._store.operation("outbox.settle"):
            self._store.collection.update_one({"_id": claimed.user_id, "letters": own}, update)

    def delete_expired(self, now: datetime) -> None:
        """Delete the e-mails that were given up more than `KEPT` ago."""
        old = {"due_at": {"$type": "null"}, "given_up_at": {"$lte": now - KEPT}}
        with self._store.operation("outbox.delete_expired"):
            self._store.collection.update_many({"letters": {"$elemMatch": old}}, {"$pull": {"letters": old}})

    def forget_email(self, *spellings: str) -> None:
        """Delete other users' e-mails to the address of an erased user, and remove it from those that mention it."""
        waiting, theirs = {"letters.due_at": {"$exists": True}}, {"$in": list(spellings)}
        with self._store.operation("outbox.forget_email"):
            users = self._store.collection
            users.update_many({**waiting, "letters.to": theirs}, {"$pull": {"letters": {"to": theirs}}})
            users.update_many(
                {**waiting, "letters.context.new_email": theirs},
                {"$set": {"letters.$[email].context.new_email": ERASED}},
                array_filters=[{"email.context.new_email": theirs}],
            )

    def backlog(self) -> Backlog:
        """Count the e-mails that wait to be sent, within `BACKLOG_SECONDS`."""
        waiting = {"letters.due_at": {"$type": "date"}}
        pipeline: list[Document] = [
            {"$match": waiting},  # uses the index, so the earliest come first
            {"$limit": MAX_COUNTED},
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
            found = cast(Document | None, next(self._store.collection.aggregate(pipeline), None))
        if found is None:
            return Backlog(None, 0, 0)
        return Backlog(found["due_since"], found["new"], found["all"] - found["new"])

    def count_late(self, due_before: datetime) -> int:
        """Count the users with an e-mail that was due before this time, up to `MAX_LATE`."""
        late = {"letters": {"$elemMatch": {"due_at": {"$lte": due_before}}}}
        with self._store.operation("outbox.count_late"):
            return self._store.unprepared_collection.count_documents(late, limit=MAX_LATE)

    def list_emails(self) -> list[Claimed]:
        """Return the e-mails of all users, the oldest first."""
        with self._store.operation("outbox.list"):
            users = list(
                self._store.collection.find({"letters.due_at": {"$exists": True}}, {"letters": 1, **READ_WITH_EMAIL})
            )
        found = [_claimed(user, email) for user in users for email in user["letters"]]
        return sorted(found, key=lambda one: one.email["created_at"])
