"""The one-time tokens of users, stored in their documents by purpose.

A token is issued together with the e-mail that carries it, and redeemed together with the change it allows, each in
one atomic operation.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.documents import Email, User
from pixora.accounts.users import ENABLED, UserStore
from pixora.database.client import Database, Document, upserted
from pixora.errors import InvalidOneTimeToken
from pixora.tokens.one_time import OneTimeToken, OneTimeTokenRecord, Purpose

DECOYS = 64
"""How many documents stand in for unknown accounts: enough that two requests rarely write to the same one."""

DECOY_EMAIL = "nobody@example.com"

KEPT = timedelta(days=1)
"""How long an expired token is kept: until then its page can say that it has expired."""


class ValidToken(NamedTuple):
    """A token that was valid when it was read, and is used only together with what it allows."""

    purpose: Purpose
    text: str
    digest: bytes  # the hash that is stored
    user: User  # its user: `_id`, `first_name`, `last_name`, `email`, `email_verified`
    record: OneTimeTokenRecord  # its stored record


class OneTimeTokenStore:
    """Issues and redeems one-time tokens. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore, database: Database) -> None:
        self._store = users
        self._decoys = database.collection("decoys")

    def issue(self, user: User, purpose: str, record: OneTimeTokenRecord, *emails: Email, **allowed: Any) -> bool:
        """Store a new token in place of the older one, and queue e-mails.

        Return False, changing nothing, if the user is disabled, `email` is no longer the address that was read, or what
        has allowed the request, such as the password and the session, is no longer there.
        """
        stages = [updates.store_token(purpose, record), updates.queue_emails(*emails)]
        return self._store.update_user(user["_id"], *stages, email=user["email"], **allowed)

    def issue_decoy(self, purpose: str, record: OneTimeTokenRecord, *emails: Email) -> None:
        """Do the work of `issue` on a decoy, so that timing does not reveal whether an account exists.

        `record` and `emails` must not contain personal data. A decoy is bounded as a user document is.
        """
        decoy = {"_id": f"decoy-{secrets.randbelow(DECOYS)}", "email": DECOY_EMAIL}
        stages = [updates.store_token(purpose, record), updates.queue_emails(*emails)]
        with self._store.operation("one_time_tokens.issue_decoy"):
            upserted(lambda: self._decoys.update_one(decoy, stages, upsert=True))

    def find_user(self, user_id: str, purpose: str) -> User | None:
        """Return the names, `email`, `email_verified` and the token of this purpose of an enabled user."""
        wanted = {"first_name": 1, "last_name": 1, "email": 1, "email_verified": 1, f"tokens.{purpose}": 1}
        with self._store.operation("one_time_tokens.find_user"):
            return self._store.collection.find_one({"_id": user_id, **ENABLED}, wanted)

    def delete_expired(self, now: datetime) -> None:
        """Delete the tokens that expired more than `KEPT` ago."""
        for purpose in Purpose:
            name = f"tokens.{purpose}"
            with self._store.operation("one_time_tokens.delete_expired"):
                expired = {f"{name}.expires_at": {"$lte": now - KEPT}}
                self._store.collection.update_many(expired, {"$unset": {name: True}})

    def forget_email(self, *spellings: str) -> None:
        """Delete the tokens by which other users would change to the address of an erased user."""
        with self._store.operation("one_time_tokens.forget_email"):
            wanted = {"tokens.change_email.email": {"$in": list(spellings)}}
            self._store.collection.update_many(wanted, {"$unset": {"tokens.change_email": True}})

    def find_valid(self, purpose: Purpose, text: str) -> ValidToken:
        """Return a valid token with its user, without using it; raise `InvalidOneTimeToken` for any other."""
        token = OneTimeToken.parse(text)
        digest = token.digest(purpose)
        user = self.find_user(token.user_id, purpose)
        record: OneTimeTokenRecord = user.get("tokens", {}).get(purpose, {}) if user else {}
        # This compares hashes of a secret and no secret: the time it takes reveals nothing.
        if user is None or record.get("hash") != digest:
            raise InvalidOneTimeToken("used")
        if record["expires_at"] <= clock.utcnow():
            raise InvalidOneTimeToken("expired")
        return ValidToken(purpose, text, digest, user, record)

    def redeem(self, token: ValidToken, *stages: Document, **condition: Any) -> bool:
        """Use a token and update its user by `stages`, from `accounts.updates`, in one atomic operation.

        Return False, changing nothing, if the token is still valid and only the condition does not match.

        Raises:
            InvalidOneTimeToken: Another request has used the token, or it has expired.
            EmailTaken: The update changes the e-mail, and another user has taken it.

        """
        name = f"tokens.{token.purpose}"
        valid = {f"{name}.hash": token.digest, f"{name}.expires_at": {"$gt": clock.utcnow()}}
        end = updates.end_tokens(token.purpose)
        if self._store.update_user(token.user["_id"], *stages, end, **valid, **condition):
            return True
        self.find_valid(token.purpose, token.text)
        if not condition:
            raise InvalidOneTimeToken("used")
        return False
