"""Tokens for the second step of a login: they prove a right password, and are stored nowhere.

A token names a user and when it expires. Its HMAC also covers the stored password hash, so it dies with a change of
password; the key is derived from `SECRET_KEY`. 48 bytes make 64 characters of base64url without unused bits.
"""

import base64
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from pixora.tokens.crypto import derived_key

LIFETIME = timedelta(minutes=5)

_ID = 12
_TIME = 4
_SPELLING = re.compile(r"[A-Za-z0-9_-]{64}")


class MfaToken(NamedTuple):
    """The content of a token, not yet verified: the user, the second since 1970 in which it expires, and the HMAC."""

    user_id: str
    expires: int
    mac: bytes

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a token; return None if it is malformed."""
        if not _SPELLING.fullmatch(text):
            return None
        data = base64.urlsafe_b64decode(text)
        return cls(data[:_ID].hex(), int.from_bytes(data[_ID : _ID + _TIME]), data[_ID + _TIME :])

    def is_valid(self, secret_key: str, password_hash: str, now: datetime) -> bool:
        """Return whether Pixora issued the token for the user while this password hash was stored, and lately."""
        expected = _mac(secret_key, self.user_id, self.expires, password_hash)
        return hmac.compare_digest(self.mac, expected) and now < datetime.fromtimestamp(self.expires, UTC)


def make(secret_key: str, user_id: str, password_hash: str, now: datetime) -> str:
    """Return a token for the user whose password was right."""
    expires = int((now + LIFETIME).timestamp())
    mac = _mac(secret_key, user_id, expires, password_hash)
    return base64.urlsafe_b64encode(_message(user_id, expires) + mac).decode()


def _message(user_id: str, expires: int) -> bytes:
    return bytes.fromhex(user_id) + expires.to_bytes(_TIME)


def _mac(secret_key: str, user_id: str, expires: int, password_hash: str) -> bytes:
    key = derived_key(secret_key, "pixora mfa token 1")
    return hmac.digest(key, _message(user_id, expires) + password_hash.encode(), "sha256")
