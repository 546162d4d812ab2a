"""Access tokens: JWTs made and verified by Flask-JWT-Extended (RFC 7519, RFC 8725).

Verifying one costs some 300 µs, most of it base64, and the same token comes back with every request of a
client for 15 minutes. So each worker remembers the tokens it has verified, a bounded number of them, and at
every further request only looks at the clock. Whether the user still exists is not the token's to say: the
guard asks the database each time.
"""

import hashlib
import hmac
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import jwt as pyjwt
from flask import Flask, current_app
from flask_jwt_extended import create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from werkzeug.local import LocalProxy

from pixora import clock
from pixora.errors import InvalidToken
from pixora.extensions import jwt

ALGORITHM = "HS256"
REMEMBERED = 2048
"""Verified tokens a worker remembers: about 1 kB each."""

REQUIRED_CLAIMS = {"iss": str, "aud": str, "sub": str, "jti": str, "iat": int, "exp": int, "type": str}
"""PyJWT accepts a token without these, or with a list for `aud`; Flask-JWT-Extended fills in some. We refuse."""


class AccessToken(NamedTuple):
    """What a verified token says."""

    user_id: str
    expires: datetime


class Tokens:
    """Makes and verifies the access tokens of one application."""

    def __init__(self, app: Flask) -> None:
        secret = app.config["JWT_SECRET_KEY"]
        self.lifetime: int = app.config["JWT_ACCESS_TOKEN_EXPIRES"]
        # Names the key without telling anything of it.
        self._kid = hmac.digest(secret.encode(), b"kid", hashlib.sha256).hex()[:16]
        self._verified = lru_cache(maxsize=REMEMBERED)(_decode)

    def issue(self, user_id: str) -> str:
        """Return a new access token for a user."""
        return str(create_access_token(user_id, additional_headers={"kid": self._kid}))

    def verify(self, token: str) -> AccessToken:
        """Return what `token` says, if it is one of ours and its time has not passed.

        Raises:
            InvalidToken: for any other, whatever is wrong with it.

        """
        access = self._verified(token)  # does not remember failures: they raise
        if access.expires <= clock.utcnow():
            raise InvalidToken
        return access

    def is_current_key(self, kid: object) -> bool:
        """Tell whether `kid`, of a token not yet verified, names our key."""
        return isinstance(kid, str) and hmac.compare_digest(kid.encode(), self._kid.encode())


tokens = cast(Tokens, LocalProxy(lambda: current_app.extensions["tokens"]))
"""The tokens of the current application."""


def init_app(app: Flask) -> None:
    """Bind Flask-JWT-Extended to `app`, set to check issuer, audience and algorithm."""
    app.config |= {
        "JWT_ALGORITHM": ALGORITHM,
        "JWT_DECODE_ALGORITHMS": [ALGORITHM],
        "JWT_ENCODE_ISSUER": app.config["JWT_ISSUER"],
        "JWT_DECODE_ISSUER": app.config["JWT_ISSUER"],
        "JWT_ENCODE_AUDIENCE": app.config["JWT_AUDIENCE"],
        "JWT_DECODE_AUDIENCE": app.config["JWT_AUDIENCE"],
        "JWT_ENCODE_NBF": False,
        "JWT_COOKIE_CSRF_PROTECT": False,  # no cookies here, so no claim for them
    }
    jwt.init_app(app)
    app.extensions["tokens"] = Tokens(app)


@jwt.decode_key_loader
def _decode_key(header: dict[str, Any], claims: dict[str, Any]) -> str:
    # The one hook that sees the token as it came, before Flask-JWT-Extended fills in what is missing.
    if not tokens.is_current_key(header.get("kid")):
        raise InvalidToken
    for name, kind in REQUIRED_CLAIMS.items():
        if type(claims.get(name)) is not kind:
            raise InvalidToken
    if claims["type"] != "access":
        raise InvalidToken
    return str(current_app.config["JWT_SECRET_KEY"])


def _decode(token: str) -> AccessToken:
    try:
        claims = decode_token(token)
    except (pyjwt.PyJWTError, JWTExtendedException, ValueError, OverflowError) as error:
        raise InvalidToken from error
    try:
        return AccessToken(claims["sub"], datetime.fromtimestamp(claims["exp"], tz=clock.UTC))
    except (OverflowError, OSError, ValueError) as error:  # a year that no calendar has
        raise InvalidToken from error
