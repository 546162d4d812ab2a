"""Verifies signed tokens in the compact form of a JWS (RFC 7515), with the algorithms of PyJWT.

PyJWT's own `decode` looks at each character of a token, and for what else the secret might be, before it verifies
anything, which takes most of its time. Here the signature comes first, over the text as it is.
"""

import base64
import json
from typing import Any

from pixora.tokens.keys import KeyRing

Fields = dict[str, Any]


def verify(ring: KeyRing, token: str) -> tuple[Fields, Fields]:
    """Return the header and the payload of a token, which must be JSON objects.

    Raises:
        ValueError, RecursionError: The token is malformed, or none of the keys has signed it.

    """
    signed, _, signature = token.encode("ascii").rpartition(b".")
    protected, _, payload = signed.partition(b".")
    header = _fields(protected)
    key = ring.get(header.get("kid"))
    # The key names the algorithm, never the token (RFC 8725, section 3.1): a public key is no secret for HS256.
    if key is None or header.get("alg") != key.algorithm or not key.has_signed(signed, _decoded(signature)):
        raise ValueError("None of the keys has signed the token.")
    # A signature can be written in more than one way, for example with unused bits (RFC 4648, section 3.5).
    if base64.urlsafe_b64encode(_decoded(signature)).rstrip(b"=") != signature:
        raise ValueError("The signature has another form.")
    if "crit" in header or "b64" in header:  # RFC 7515, section 4.1.11; RFC 7797
        raise ValueError("The token uses an extension.")
    return header, _fields(payload)


def _fields(part: bytes) -> Fields:
    fields = json.loads(_decoded(part).decode())
    if not isinstance(fields, dict):
        raise ValueError("A part of the token is no object.")  # noqa: TRY004  # the one error of all malformed tokens
    return fields


def _decoded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"==")
