"""Keys derived from `SECRET_KEY`, one for each purpose, and ciphers for what the database stores encrypted."""

import base64

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derived_key(secret_key: str, purpose: str, salt: bytes | None = None) -> bytes:
    """Derive a key of 32 bytes by HKDF (RFC 5869); keys for different purposes are independent of each other.

    Args:
        secret_key: The setting `SECRET_KEY`.
        purpose: What the key is for, and its version.
        salt: For example that of a session.

    """
    return HKDF(hashes.SHA256(), length=32, salt=salt, info=purpose.encode()).derive(secret_key.encode())


def cipher(secret_key: str, purpose: str) -> Fernet:
    """Return the cipher with the key for a purpose."""
    return Fernet(base64.urlsafe_b64encode(derived_key(secret_key, purpose)))
