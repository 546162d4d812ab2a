"""One-time tokens: the secrets in the links of e-mails, which prove that somebody reads the mail of an address.

A token contains the id of its user, so it is found without an index, and 256 random bits. The database stores their
SHA-256 together with the purpose; a secret of that size needs neither salt nor slow hash. In base64url, 44 bytes make
59 characters and leave two unused bits, which must be zero: each token has one spelling.
"""

import base64
import hashlib
import re
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Self, TypedDict

from pixora.errors import InvalidOneTimeToken

_ID = 12
_SECRET = 32
_SPELLING = re.compile(r"[A-Za-z0-9_-]{58}[AEIMQUYcgkosw048]")


class Purpose(StrEnum):
    """What a token can be redeemed for. A user has at most one token for each purpose, the newest."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105  # no password
    CHANGE_EMAIL = "change_email"
    INVITATION = "invitation"


LIFETIMES = {
    Purpose.VERIFY_EMAIL: timedelta(hours=24),
    Purpose.RESET_PASSWORD: timedelta(minutes=30),
    Purpose.CHANGE_EMAIL: timedelta(hours=24),
    Purpose.INVITATION: timedelta(days=7),
}


class OneTimeTokenRecord(TypedDict, total=False):
    """What is stored of a one-time token, under its purpose."""

    hash: bytes
    expires_at: datetime
    email: str  # the new address, for a change of e-mail address


class OneTimeToken(NamedTuple):
    """The content of a token.

    Attributes:
        user_id: 24 hexadecimal digits.
        secret: 32 random bytes.

    """

    user_id: str
    secret: bytes

    @classmethod
    def make(cls, user_id: str) -> Self:
        """Return a new token for a user."""
        return cls(user_id, secrets.token_bytes(_SECRET))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a token; raise `InvalidOneTimeToken` if it is malformed."""
        if not _SPELLING.fullmatch(text):
            raise InvalidOneTimeToken("malformed")
        data = base64.urlsafe_b64decode(text + "=")
        return cls(data[:_ID].hex(), data[_ID:])

    @property
    def text(self) -> str:
        """The token as text, for a link."""
        return base64.urlsafe_b64encode(bytes.fromhex(self.user_id) + self.secret).decode().rstrip("=")

    def digest(self, purpose: Purpose) -> bytes:
        """Return the SHA-256 to store for a purpose."""
        return hashlib.sha256(purpose.encode() + b"\0" + self.secret).digest()

    def record(self, purpose: Purpose, now: datetime, email: str | None = None) -> OneTimeTokenRecord:
        """Return the record to store; `email` is the new address, for a change of e-mail address."""
        record: OneTimeTokenRecord = {"hash": self.digest(purpose), "expires_at": now + LIFETIMES[purpose]}
        if email is not None:
            record["email"] = email
        return record
