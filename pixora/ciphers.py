"""Encryption of what the database keeps and must not have in clear, with keys that derive from `SECRET_KEY`."""

import base64

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app


def cipher(purpose: str) -> Fernet:
    """Return the cipher for a purpose, whose key is kept apart by it from whatever else derives from the secret."""
    key = HKDF(hashes.SHA256(), length=32, salt=None, info=purpose.encode())  # RFC 5869
    return Fernet(base64.urlsafe_b64encode(key.derive(current_app.config["SECRET_KEY"].encode())))
