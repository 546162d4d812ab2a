"""Keys that derive from `SECRET_KEY`, and the encryption of what the database keeps and must not have in clear."""

import base64

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app


def derived_key(secret: str, purpose: str, salt: bytes | None = None) -> bytes:
    """Return the 32 bytes of the key for a purpose (RFC 5869), kept apart by it from whatever else derives from this.

    Args:
        secret: `SECRET_KEY`.
        purpose: What the key is for, and its version.
        salt: Of what it is for, where that has one.

    """
    return HKDF(hashes.SHA256(), length=32, salt=salt, info=purpose.encode()).derive(secret.encode())


def cipher(purpose: str) -> Fernet:
    """Return the cipher for a purpose, by the application's `SECRET_KEY`."""
    return Fernet(base64.urlsafe_b64encode(derived_key(current_app.config["SECRET_KEY"], purpose)))
