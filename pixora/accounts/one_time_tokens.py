"""What users have been sent a one-time token for, kept inside their documents as `tokens`.

By purpose it holds `hash` (bytes), `expires_at` and, of a change of address, `email` (the new one). A token is issued
together with the letter that brings it, and redeemed together with what it is good for, each in one atomic operation.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.roles import ENABLED
from pixora.accounts.store import UserStore
from pixora.database.client import Database, Document, upserted
from pixora.errors import InvalidOneTimeToken
from pixora.tokens.one_time import OneTimeToken, Purpose

DECOYS = 64
"""The documents that stand in for accounts that are not there: enough that two requests seldom meet at one."""

PURPOSES = "verify_email", "reset_password", "change_email"
"""Those of `auth.one_time_tokens`."""

DECOY_EMAIL = "nobody@example.com"
"""The address in all of them."""

KEPT = timedelta(days=1)
"""How long a token is kept when it has expired: for so long its page says so."""


class ValidToken(NamedTuple):
    """A token that was valid when it was read, and is used only together with what it allows.

    Attributes:
        purpose: What it is for.
        text: The token.
        digest: The hash that is stored.
        user: Its user: `_id`, `first_name`, `last_name`, `email`, `email_verified`.
        record: What is stored about the token.

    """

    purpose: Purpose
    text: str
    digest: bytes
    user: Document
    record: Document


class OneTimeTokenStore:
    """Issues and redeems one-time tokens. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, users: UserStore, database: Database) -> None:
        self._store = users
        self._decoys = database.collection("decoys")

    def issue(self, user: Document, purpose: str, record: Document, *letters: Document, **allowed: Any) -> bool:
        """Store a new token of a user's in the place of the older, and post the letters; nothing for who is disabled.

        Args:
            user: `_id`, and `email` as it was read: when the address has changed since, nothing is done and False
                returned, for the letter would go to one that is no longer the user's.
            purpose: One of `auth.one_time_tokens`.
            record: `hash` and `expires_at`, and what else is to be known when the token comes back.
            letters: From `letters.letter`.
            allowed: What must still be so, too: the password and the session that have allowed it.

        """
        stages = [updates.store_token(purpose, record), updates.queue_emails(*letters)]
        return self._store.update_user(user["_id"], *stages, email=user["email"], **allowed)

    def issue_decoy(self, purpose: str, record: Document, *letters: Document) -> None:
        """Do what `issue` does, to the document of nobody, so that time does not tell who has an account.

        Nothing in `record` and `letters` may be personal. The documents are few, and bounded as a user's is.
        """
        nobody = {"_id": f"decoy-{secrets.randbelow(DECOYS)}", "email": DECOY_EMAIL}
        stages = [updates.store_token(purpose, record), updates.queue_emails(*letters)]
        with self._store.operation("one_time_tokens.issue_decoy"):
            upserted(lambda: self._decoys.update_one(nobody, stages, upsert=True))

    def find_user(self, user_id: str, purpose: str) -> Document | None:
        """Return a user as far as a token is concerned: names, `email`, `email_verified`, and `tokens` of this purpose.

        The links of a disabled user are no good, so such a one is not found.
        """
        wanted = {"first_name": 1, "last_name": 1, "email": 1, "email_verified": 1, f"tokens.{purpose}": 1}
        with self._store.operation("one_time_tokens.find_user"):
            return self._store.collection.find_one({"_id": user_id, **ENABLED}, wanted)

    def delete_expired(self, now: datetime) -> None:
        """Forget the tokens that expired some time ago."""
        for purpose in PURPOSES:
            name = f"tokens.{purpose}"
            with self._store.operation("one_time_tokens.delete_expired"):
                expired = {f"{name}.expires_at": {"$lte": now - KEPT}}
                self._store.collection.update_many(expired, {"$unset": {name: True}})

    def forget_email(self, *spellings: str) -> None:
        """Forget the tokens by which others would change to an address, whose owner was erased."""
        with self._store.operation("one_time_tokens.forget_email"):
            wanted = {"tokens.change_email.email": {"$in": list(spellings)}}
            self._store.collection.update_many(wanted, {"$unset": {"tokens.change_email": True}})

    def find_valid(self, purpose: Purpose, text: str) -> ValidToken:
        """Return a valid token with its user, without using it; raise `InvalidOneTimeToken` for any other."""
        token = OneTimeToken.parse(text)
        digest = token.digest(purpose)
        user = self.find_user(token.user_id, purpose) or {}
        record: Document = user.get("tokens", {}).get(purpose, {})
        # This compares hashes of a secret and no secret: the time it takes reveals nothing.
        if record.get("hash") != digest:
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
