"""One-time tokens: what a letter's link carries, to prove that whoever opens it reads the mail of an address.

A token names its user, so that it is found without an index, and carries a secret of 256 bits, of which the database
has only the SHA-256: a secret of that size needs no salt and no slow hash. The purpose is hashed with it, so a token is
good for nothing else. 44 bytes make 59 characters of base64url, the last of which has two bits to spare: they must be
zero, so a token has one spelling.
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
    """What a token is good for; a user has one of each at most, the newest."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105  # no password
    CHANGE_EMAIL = "change_email"


LIFETIMES = {
    Purpose.VERIFY_EMAIL: timedelta(hours=24),
    Purpose.RESET_PASSWORD: timedelta(minutes=30),
    Purpose.CHANGE_EMAIL: timedelta(hours=24),
}


class OneTimeTokenRecord(TypedDict, total=False):
    """What is stored of a one-time token, under its purpose."""

    hash: bytes
    expires_at: datetime
    email: str  # the new address, for a change of e-mail address


class OneTimeToken(NamedTuple):
    """What a token says.

    Attributes:
        user_id: 24 hexadecimal digits.
        secret: What proves it.

    """

    user_id: str
    secret: bytes

    @classmethod
    def make(cls, user_id: str) -> Self:
        """Return a new token for a user."""
        return cls(user_id, secrets.token_bytes(_SECRET))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a token apart; raise `InvalidOneTimeToken` where it is not even one."""
        if not _SPELLING.fullmatch(text):
            raise InvalidOneTimeToken("malformed")
        data = base64.urlsafe_b64decode(text + "=")
        return cls(data[:_ID].hex(), data[_ID:])

    @property
    def text(self) -> str:
        """The token as it stands in a link."""
        return base64.urlsafe_b64encode(bytes.fromhex(self.user_id) + self.secret).decode().rstrip("=")

    def digest(self, purpose: Purpose) -> bytes:
        """Return the SHA-256 that is stored of it."""
        return hashlib.sha256(purpose.encode() + b"\0" + self.secret).digest()

    def record(self, purpose: Purpose, now: datetime, email: str | None = None) -> OneTimeTokenRecord:
        """Return the record to store; `email` is the new address, for a change of e-mail address."""
        record: OneTimeTokenRecord = {"hash": self.digest(purpose), "expires_at": now + LIFETIMES[purpose]}
        if email is not None:
            record["email"] = email
        return record
