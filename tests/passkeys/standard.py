"""The vectors of the section "Test Vectors" of WebAuthn, level 3, made by the recipe that the section gives.

Challenges, keys, ids and flags are from HKDF-SHA-256 over one text, and ECDSA signatures are deterministic, so they are
what the standard prints: each `digest` is the SHA-256 of the values there. Only attestation statements are left out,
which the service does not look at.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fido2 import cbor

from pixora.passkeys.fields import encode

RP_ID, ORIGIN, TOP_ORIGIN = "example.org", "https://example.org", "https://example.com"
UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40


@dataclass
class Vector:
    """A registration and an authentication with the same credential."""

    name: str
    credential_id: bytes
    public_key: dict[int, Any]
    challenges: tuple[bytes, bytes]
    client_data: tuple[bytes, bytes]
    authenticator_data: tuple[bytes, bytes]
    signature: bytes

    @property
    def attestation_object(self) -> bytes:
        """The attestation object, without a statement."""
        return cbor.encode({"fmt": "none", "attStmt": {}, "authData": self.authenticator_data[0]})

    @property
    def digest(self) -> str:
        """The SHA-256 of all that client and authenticator answer, in the order of the standard."""
        parts = (self.client_data[0], self.authenticator_data[0], self.authenticator_data[1], self.client_data[1])
        return hashlib.sha256(b"".join([*parts, self.signature])).hexdigest()


def make(name: str) -> Vector:
    """Return the vector whose values are derived with this name."""
    derive = derivation(name)
    statement, algorithm = name.split(".")[:2]
    length = 128 if algorithm == "ES512" else 32
    frame = {"crossOrigin": name.endswith(("crossOrigin", "topOrigin"))}
    if name.endswith("topOrigin"):
        frame["topOrigin"] = TOP_ORIGIN
    first = derive(length)
    key = make_key(algorithm, derive)
    created = client_data("webauthn.create", first, frame, derive)
    aaguid, credential_id = derive(16), derive(1023 if name.endswith("long-credential-id") else 32)
    flags = 0
    if statement != "fido-u2f":
        flags = derive(1)[0] & (UV | BE | BS)
        flags &= ~0 if flags & BE else ~BS
    for _ in range({"packed": 2, "tpm": 2, "fido-u2f": 2, "android-key": 1, "apple": 1}.get(statement, 0)):
        derive(1)  # the key and the serial number of the attestation
    public_key = cose(algorithm, key)
    credential = aaguid + len(credential_id).to_bytes(2) + credential_id + cbor.encode(public_key)
    second = derive(length)
    got = client_data("webauthn.get", second, frame, derive)
    got_flags = (flags & BE) | derive(1)[0] & (UV | BS)
    got_flags &= ~0 if flags & BE else ~BS
    data = authenticator_data(UP | got_flags)
    return Vector(
        name=name,
        credential_id=credential_id,
        public_key=public_key,
        challenges=(first, second),
        client_data=(created, got),
        authenticator_data=(authenticator_data(UP | AT | flags) + credential, data),
        signature=sign(algorithm, key, data + hashlib.sha256(got).digest()),
    )


def derivation(name: str) -> Any:
    """Return a function that returns the next value of a length."""
    salts: Iterator[int] = count()

    def derive(length: int) -> bytes:
        salt = bytes([next(salts)])
        return HKDF(hashes.SHA256(), length, salt, name.encode()).derive(b"WebAuthn test vectors")

    return derive


def make_key(algorithm: str, derive: Any) -> Any:
    match algorithm:
        case "RS256":
            p, q, e = 2**1279 - 1, 2**2203 - 1, 65537
            d = pow(e, -1, (p - 1) * (q - 1))
            numbers = rsa.RSAPublicNumbers(e, p * q)
            factors = d % (p - 1), d % (q - 1), pow(q, -1, p)
            return rsa.RSAPrivateNumbers(p, q, d, *factors, numbers).private_key()
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.from_private_bytes(derive(32))
        case "Ed448":
            return ed448.Ed448PrivateKey.from_private_bytes(derive(57))
    curve, length = {"ES256": (ec.SECP256R1(), 32), "ES384": (ec.SECP384R1(), 48), "ES512": (ec.SECP521R1(), 65)}[
        algorithm
    ]
    return ec.derive_private_key(int.from_bytes(derive(length)), curve)


def cose(algorithm: str, key: Any) -> dict[int, Any]:
    public = key.public_key()
    match algorithm:
        case "RS256":
            numbers = public.public_numbers()
            return {1: 3, 3: -257, -1: numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8), -2: b"\x01\x00\x01"}
        case "EdDSA":
            return {1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()}
        case "Ed448":
            return {1: 1, 3: -53, -1: 7, -2: public.public_bytes_raw()}
    number, curve, length = {"ES256": (-7, 1, 32), "ES384": (-35, 2, 48), "ES512": (-36, 3, 66)}[algorithm]
    point = public.public_numbers()
    return {1: 2, 3: number, -1: curve, -2: point.x.to_bytes(length), -3: point.y.to_bytes(length)}


def sign(algorithm: str, key: Any, message: bytes) -> bytes:
    if algorithm == "RS256":
        return bytes(key.sign(message, padding.PKCS1v15(), hashes.SHA256()))
    if algorithm in ("EdDSA", "Ed448"):
        return bytes(key.sign(message))
    digest = {"ES256": hashes.SHA256(), "ES384": hashes.SHA384(), "ES512": hashes.SHA512()}[algorithm]
    return bytes(key.sign(message, ec.ECDSA(digest, deterministic_signing=True)))


def client_data(ceremony: str, challenge: bytes, frame: dict[str, Any], derive: Any) -> bytes:
    collected = {"type": ceremony, "challenge": encode(challenge), "origin": ORIGIN} | frame
    if derive(1)[0] & 1:
        text = "clientDataJSON may be extended with additional fields in the future, such as this: "
        collected["extraData"] = text + encode(derive(16))
    return json.dumps(collected, separators=(",", ":")).encode()


def authenticator_data(flags: int) -> bytes:
    return hashlib.sha256(RP_ID.encode()).digest() + bytes([flags]) + bytes(4)
