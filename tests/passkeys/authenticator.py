"""An authenticator in software, to the letter of WebAuthn: what tests log in with, and can bend at every place."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2 import cbor
from fido2.cose import ES256, RS256, EdDSA

from pixora.passkeys.fields import encode

RP_ID, ORIGIN = "example.com", "https://app.example.com"
UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40


def make_key(algorithm):
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa.generate_private_key(65537, 2048)


@dataclass
class Authenticator:
    """One passkey; `handle` is the user handle that it was given."""

    algorithm: str = "ES256"
    counter: int = 0
    flags: int = UP | UV
    handle: str | None = None
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def __post_init__(self):
        self.key = make_key(self.algorithm)

    @property
    def id(self):
        return encode(self.credential_id)

    def cose(self):
        kind = {"ES256": ES256, "EdDSA": EdDSA, "RS256": RS256}[self.algorithm]
        return dict(kind.from_cryptography_key(self.key.public_key()))

    def sign(self, data):
        if self.algorithm == "ES256":
            return self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        if self.algorithm == "EdDSA":
            return self.key.sign(data)
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def authenticator_data(self, rp_id=RP_ID, flags=None, credential=b""):
        flags = (self.flags if flags is None else flags) | (AT if credential else 0)
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4) + credential

    def create(self, options, *, cose=None, flags=None, rp_id=RP_ID, **client: Any):
        """Answer `navigator.credentials.create()`."""
        self.handle = options["user"]["id"]
        key = cbor.encode(self.cose() if cose is None else cose)
        credential = bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id + key
        data = self.authenticator_data(rp_id, flags, credential)
        return self.answer(
            clientDataJSON=client_data("webauthn.create", options["challenge"], **client),
            attestationObject=encode(cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})),
            transports=["internal"],
        )

    def get(self, options, *, flags=None, rp_id=RP_ID, **client: Any):
        """Answer `navigator.credentials.get()`."""
        data, collected = (
            self.authenticator_data(rp_id, flags),
            client_data("webauthn.get", options["challenge"], **client),
        )
        signature = self.sign(data + hashlib.sha256(decode(collected)).digest())
        return self.answer(
            clientDataJSON=collected,
            authenticatorData=encode(data),
            signature=encode(signature),
            userHandle=self.handle,
        )

    def answer(self, **response):
        return {
            "id": self.id,
            "rawId": self.id,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {"credProps": {"rk": True}},
            "response": response,
        }


def client_data(ceremony, of_options, **bent):
    """Return client data with other members, or without those that are `...`."""
    collected = {"type": ceremony, "challenge": of_options, "origin": ORIGIN, "crossOrigin": False} | bent
    return encode(json.dumps({name: value for name, value in collected.items() if value is not ...}).encode())


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
