"""Challenges of WebAuthn, which need no storage before they are used.

A challenge consists of its expiry, a random nonce and an HMAC over these, the purpose and the user, under a key derived
from `SECRET_KEY`. Anybody can ask for any number of them, and nothing is written. The update that opens the session or
stores the passkey records the nonce in the user document, and requires that it is not there: see
`pixora.accounts.passkeys`.
"""

import hmac
import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from pixora import clock
from pixora.accounts.passkeys import ChallengeUse
from pixora.passkeys.credentials import Refused
from pixora.tokens.crypto import derived_key

LIFETIME = timedelta(minutes=5)

_TIME, _NONCE, _MAC = 8, 16, 32


class Purpose(StrEnum):
    """What a challenge can be used for."""

    LOGIN = "login"
    REAUTHENTICATION = "reauthentication"
    REGISTRATION = "registration"


def make(secret_key: str, purpose: Purpose, user_id: str | None, now: datetime) -> bytes:
    """Return a new challenge; for a login there is no user, because nobody knows who it will be."""
    message = int((now + LIFETIME).timestamp() * 1000).to_bytes(_TIME) + secrets.token_bytes(_NONCE)
    return message + _mac(secret_key, purpose, user_id, message)


def parse(secret_key: str, purpose: Purpose, user_id: str | None, data: bytes, now: datetime) -> ChallengeUse:
    """Return the use of a challenge; raise `Refused` if it was made for another purpose or user, or has expired."""
    message, mac = data[: _TIME + _NONCE], data[_TIME + _NONCE :]
    if not hmac.compare_digest(mac, _mac(secret_key, purpose, user_id, message)):
        raise Refused("the challenge is not ours, or for another user or purpose")
    expires_at = datetime.fromtimestamp(int.from_bytes(message[:_TIME]) / 1000, tz=clock.UTC)
    if now >= expires_at:
        raise Refused("the challenge has expired")
    return ChallengeUse(message[_TIME:], expires_at, now)


def _mac(secret_key: str, purpose: Purpose, user_id: str | None, message: bytes) -> bytes:
    key = derived_key(secret_key, "pixora passkey challenges 1")
    return hmac.digest(key, f"{purpose}:{user_id or ''}:".encode() + message, "sha256")
