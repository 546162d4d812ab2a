"""Secrets of second factors, encrypted under `DATA_KEYS` (Fernet: AES-128-CBC with HMAC-SHA-256).

The first key encrypts and every key decrypts, so keys rotate while the service runs. They are not derived from
`SECRET_KEY`: that may change, which ends all sessions, without costing anybody a factor. The id of the user is part of
what is encrypted: a secret that is copied into the document of another user is not accepted there.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

NAME_LENGTH = 8


class UnreadableSecret(Exception):
    """None of `DATA_KEYS` decrypts the secret, or it belongs to another user."""


class EncryptedSecret(NamedTuple):
    """A ciphertext, and the name of the key it is encrypted under."""

    data: bytes
    key: str


def name_of(key: str) -> str:
    """Return the name of a key, which reveals nothing about it."""
    return hashlib.sha256(b"pixora data key 1" + key.encode()).hexdigest()[:NAME_LENGTH]


def encrypt(keys: Sequence[str], user_id: str, secret: bytes) -> EncryptedSecret:
    """Encrypt a secret of a user under the first key."""
    return EncryptedSecret(Fernet(keys[0]).encrypt(user_id.encode() + secret), name_of(keys[0]))


def decrypt(keys: Sequence[str], user_id: str, data: bytes) -> bytes:
    """Return the secret of a user; raise `UnreadableSecret`."""
    try:
        text = MultiFernet([Fernet(key) for key in keys]).decrypt(data)
    except (InvalidToken, ValueError, TypeError) as error:  # ValueError: there is no key
        raise UnreadableSecret from error
    owner = user_id.encode()
    if not text.startswith(owner):
        raise UnreadableSecret
    return text.removeprefix(owner)
