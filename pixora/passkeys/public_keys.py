"""The public keys of passkeys, as COSE has them (RFC 9052): which are accepted, and how they are stored.

A key comes from the client. Its parameters are checked when it is registered, so that no signature is expensive to
verify: an RSA key with a large exponent takes seconds.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fido2 import cbor
from fido2.cose import ES256, RS256, CoseKey, EdDSA

ALGORITHMS = (ES256.ALGORITHM, EdDSA.ALGORITHM, RS256.ALGORITHM)
"""The accepted algorithms (IANA COSE Algorithms), the preferred one first."""

COORDINATE_BYTES = 32
RSA_BITS = range(2048, 4097)
RSA_EXPONENT = b"\x01\x00\x01"


def encode(key: Mapping[int, Any]) -> bytes:
    """Return the canonical form of a key, its own parameters and no others; raise ValueError if it is not accepted."""
    match key.get(3):
        case ES256.ALGORITHM:
            x, y = _bytes(key, -2), _bytes(key, -3)
            if key.get(1) != 2 or key.get(-1) != 1 or not len(x) == len(y) == COORDINATE_BYTES:  # EC2, P-256
                raise ValueError("not a key on P-256")
            point = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ec.SECP256R1())
            point.public_key()  # raises ValueError for a point that is not on the curve
            return cbor.encode({1: 2, 3: ES256.ALGORITHM, -1: 1, -2: x, -3: y})
        case EdDSA.ALGORITHM:
            x = _bytes(key, -2)
            if key.get(1) != 1 or key.get(-1) != 6:  # OKP, Ed25519
                raise ValueError("not a key on Ed25519")
            ed25519.Ed25519PublicKey.from_public_bytes(x)
            return cbor.encode({1: 1, 3: EdDSA.ALGORITHM, -1: 6, -2: x})
        case RS256.ALGORITHM:
            modulus, exponent = _bytes(key, -1), _bytes(key, -2)
            number = int.from_bytes(modulus)
            if key.get(1) != 3 or exponent != RSA_EXPONENT or number.bit_length() not in RSA_BITS:  # RSA
                raise ValueError("not an RSA key of 2048 to 4096 bits with the exponent 65537")
            rsa.RSAPublicNumbers(65537, number).public_key()
            return cbor.encode({1: 3, 3: RS256.ALGORITHM, -1: modulus, -2: exponent})
        case _:
            raise ValueError("not an accepted algorithm")


def decode(data: bytes) -> CoseKey:
    """Return a key that `encode` has made."""
    key: Any = cbor.decode(data)
    return CoseKey.parse(key)


def _bytes(key: Mapping[int, Any], parameter: int) -> bytes:
    value = key.get(parameter)
    if not isinstance(value, bytes):
        raise ValueError(f"the parameter {parameter} is missing or has a wrong type")  # noqa: TRY004  # one error for callers
    return value
