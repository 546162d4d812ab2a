"""Refresh tokens: opaque to clients, authenticated by an HMAC.

A token names a user, a session and a generation. The key of the HMAC is derived from `SECRET_KEY` and the session's
salt. The database stores only the salt, so a dump yields no token, and a token is valid no longer than its session
and `SECRET_KEY`. 60 bytes make 80 characters of base64url without unused bits: each token has one spelling.
"""

import base64
import hmac
import re
from typing import NamedTuple, Self

from pixora.tokens.crypto import derived_key

SALT_BYTES = 16

_ID = 12
_GENERATION = 4
_MAC = 32
_SPELLING = re.compile(r"[A-Za-z0-9_-]{80}")


class RefreshToken(NamedTuple):
    """The content of a refresh token, not yet verified.

    Attributes:
        user_id, session_id: 24 hexadecimal digits.
        generation: How often the session had been refreshed when the token was made.
        mac: The HMAC of the other three.

    """

    user_id: str
    session_id: str
    generation: int
    mac: bytes

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a token; return None if it is malformed."""
        if not _SPELLING.fullmatch(text):
            return None
        data = base64.urlsafe_b64decode(text)
        user, session = data[:_ID], data[_ID : 2 * _ID]
        generation = int.from_bytes(data[2 * _ID : 2 * _ID + _GENERATION])
        return cls(user.hex(), session.hex(), generation, data[-_MAC:])

    def is_genuine(self, secret: str, salt: bytes) -> bool:
        """Return, in constant time, whether Pixora issued this token for a session with this salt."""
        return hmac.compare_digest(self.mac, _mac(secret, salt, _message(*self[:3])))


def make(user_id: str, session_id: str, generation: int, secret: str, salt: bytes) -> str:
    """Return the token of a generation of a session; the same arguments give the same token."""
    message = _message(user_id, session_id, generation)
    return base64.urlsafe_b64encode(message + _mac(secret, salt, message)).decode()


def _message(user_id: str, session_id: str, generation: int) -> bytes:
    return bytes.fromhex(user_id) + bytes.fromhex(session_id) + generation.to_bytes(_GENERATION)


def _mac(secret: str, salt: bytes, message: bytes) -> bytes:
    return hmac.digest(derived_key(secret, "pixora refresh token 1", salt), message, "sha256")
