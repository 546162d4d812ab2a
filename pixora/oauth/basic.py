"""HTTP Basic authentication of OAuth clients (RFC 6749, section 2.3.1) and of services."""

import base64
from typing import NamedTuple
from urllib.parse import unquote_plus

from flask import request

from pixora.oauth.errors import InvalidClient


class Credentials(NamedTuple):
    """What a Basic header contains."""

    name: str
    secret: str


def credentials() -> Credentials | None:
    """Return the credentials of a Basic header, or None without one; raise `InvalidClient` if it is malformed."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        # RFC 6749, appendix B: both are encoded like the values of a form.
        found = Credentials(unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict"))
    except ValueError as error:
        raise InvalidClient from error
    if not separator:
        raise InvalidClient
    return found
