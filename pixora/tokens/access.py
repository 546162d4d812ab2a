"""Access tokens: JWTs made and verified by Flask-JWT-Extended (RFC 7519, RFC 8725).

Verifying one costs some 300 µs with a secret and more with a key pair, and the same token comes back with every
request of a client for 15 minutes. So each worker remembers the tokens it has verified, a bounded number of them, and
at every further request only looks at the clock. It forgets them when the keys change. Whether the session still
exists is not the token's to say: the guard asks the database each time.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import jwt as pyjwt
from flask import Flask, current_app
from flask_jwt_extended import JWTManager, create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException

from pixora import clock
from pixora.errors import InvalidToken
from pixora.tokens import keys

ALGORITHMS = ["HS256", "ES256", "RS256", "EdDSA"]
REMEMBERED = 2048
"""Verified tokens a worker remembers: about 1 kB each."""

REQUIRED_CLAIMS = {
    "iss": str,
    "aud": str,
    "sub": str,
    "sid": str,
    "jti": str,
    "iat": int,
    "exp": int,
    "type": str,
}
"""PyJWT accepts a token without these, or with a list for `aud`; Flask-JWT-Extended fills in some. We refuse."""


class AccessToken(NamedTuple):
    """What a verified token says."""

    user_id: str
    session_id: str
    expires: datetime


class Tokens:
    """Makes and verifies the access tokens of one application, by Flask-JWT-Extended.

    Raises:
        KeyFault: a key file cannot be used.

    """

    def __init__(self, app: Flask) -> None:
        app.config |= {
            "JWT_DECODE_ALGORITHMS": ALGORITHMS,
            "JWT_ENCODE_ISSUER": app.config["JWT_ISSUER"],
            "JWT_DECODE_ISSUER": app.config["JWT_ISSUER"],
            "JWT_ENCODE_AUDIENCE": app.config["JWT_AUDIENCE"],
            "JWT_DECODE_AUDIENCE": app.config["JWT_AUDIENCE"],
            "JWT_ENCODE_NBF": False,
            # For iat and nbf. PyJWT applies it to exp as well, which `verify` compares exactly, at each request.
            "JWT_DECODE_LEEWAY": clock.LEEWAY_SECONDS,
            "JWT_COOKIE_CSRF_PROTECT": False,  # no cookies here, so no claim for them
        }
        manager = JWTManager(app)
        manager.encode_key_loader(lambda identity: self.signing_key.private)
        manager.decode_key_loader(self._verification_key)
        if directory := app.config["JWT_KEY_DIR"]:
            self._keys = keys.of_directory(Path(directory))
        else:
            self._keys = keys.of_secret(app.config["JWT_SECRET_KEY"])
        self._lifetime = timedelta(seconds=app.config["JWT_ACCESS_TOKEN_EXPIRES"])
        self._remember(self._keys.current())
        self._signing = Lock()
        self.signing_key: keys.Key

    def issue(self, user_id: str, session_id: str, not_after: datetime) -> tuple[str, int]:
        """Return a new access token for a session, and its lifetime in seconds.

        It ends no later than the session does, at `not_after`.
        """
        lifetime = min(self._lifetime, not_after - clock.utcnow())
        # Flask-JWT-Extended asks for name, algorithm and key one by one; the lock keeps them those of one key.
        with self._signing:
            self.signing_key = key = self.ring().signing
            current_app.config["JWT_ALGORITHM"] = key.algorithm
            token = create_access_token(
                user_id,
                expires_delta=lifetime,
                additional_claims={"sid": session_id},
                additional_headers={"kid": key.kid},
            )
        return str(token), int(lifetime.total_seconds())

    def verify(self, token: str) -> AccessToken:
        """Return what `token` says, if it is one of ours and its time has not passed.

        Raises:
            InvalidToken: for any other, whatever is wrong with it.

        """
        self.ring()
        access = self._verified(token)  # does not remember failures: they raise
        if access.expires <= clock.utcnow():
            raise InvalidToken
        return access

    def ring(self) -> keys.KeyRing:
        """Return the keys in force; forget the tokens that were verified by others."""
        ring = self._keys.current()
        if ring is not self._ring:
            self._remember(ring)
        return ring

    def _verification_key(self, header: dict[str, Any], claims: dict[str, Any]) -> Any:
        # The one hook that sees the raw token, before Flask-JWT-Extended fills in what is missing.
        key = self.ring().get(header.get("kid"))
        # The key names the algorithm, never the token (RFC 8725, section 3.1): a public key is no secret for HS256.
        if key is None or header.get("alg") != key.algorithm:
            raise InvalidToken
        for name, kind in REQUIRED_CLAIMS.items():
            if type(claims.get(name)) is not kind:
                raise InvalidToken
        if claims["type"] != "access":
            raise InvalidToken
        return key.public

    def _remember(self, ring: keys.KeyRing) -> None:
        # In this order: a thread that sees the new keys must not meet the old memory.
        self._verified = lru_cache(maxsize=REMEMBERED)(_decode)
        self._ring = ring


def _decode(token: str) -> AccessToken:
    try:
        claims = decode_token(token)
        expires = datetime.fromtimestamp(claims["exp"], tz=clock.UTC)
    except (pyjwt.PyJWTError, JWTExtendedException, ValueError, OverflowError, OSError) as error:
        raise InvalidToken from error  # OverflowError, OSError: a year that no calendar has
    return AccessToken(claims["sub"], claims["sid"], expires)
