"""Access tokens: JWTs (RFC 7519, RFC 8725, RFC 9068), issued with Flask-JWT-Extended, verified by `signatures`.

Flask-JWT-Extended verifies with PyJWT's `decode`, which takes four times as long, and parses each token three times.

To verify a token takes 20 µs with a secret and longer with a key pair, and a client sends the same token with every
request for 15 minutes. So each worker caches the tokens it has verified, a bounded number, and checks only their expiry
at each further request. It clears the cache when the keys change. Whether the session still exists is for the guard to
ask the database.
"""

from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from flask import current_app
from flask_jwt_extended import JWTManager, create_access_token

from config import Settings
from pixora import clock
from pixora.errors import InvalidToken
from pixora.tokens import keys, signatures

MAX_CACHED = 2048
"""Verified tokens that a worker caches, of 1 to 3 kB each."""

TYP = "at+jwt"
"""RFC 9068, section 2.1. Tokens of earlier versions have the `typ` that PyJWT writes."""
ACCEPTED_TYPS = (TYP, "application/at+jwt", "jwt")

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
"""Tokens without these, or with other types, are refused."""


class AccessToken(NamedTuple):
    """The claims of a verified token."""

    user_id: str
    session_id: str
    expires: datetime
    claims: dict[str, Any]


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the configuration of Flask-JWT-Extended."""
    return {
        "JWT_ENCODE_ISSUER": settings.jwt_issuer,
        "JWT_ENCODE_AUDIENCE": settings.jwt_audience,
        "JWT_ENCODE_NBF": False,
        "JWT_COOKIE_CSRF_PROTECT": False,  # no cookies here, so no claim for them
    }


class Tokens:
    """Issues and verifies the access tokens of one application.

    Args:
        manager: Flask-JWT-Extended, bound to the application with `configuration`.
        settings: The settings.

    Raises:
        KeyFault: A key file cannot be used.

    """

    def __init__(self, manager: JWTManager, settings: Settings) -> None:
        manager.encode_key_loader(lambda identity: self.signing_key.private)
        if settings.jwt_key_dir:
            self._keys = keys.of_directory(Path(settings.jwt_key_dir))
        elif settings.jwt_secret_key:
            self._keys = keys.of_secret(settings.jwt_secret_key)
        else:
            raise keys.KeyFault("Neither JWT_KEY_DIR nor JWT_SECRET_KEY is set.")
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._lifetime = timedelta(seconds=settings.jwt_access_token_expires)
        self._reset_cache(self._keys.current())
        self._signing = Lock()
        self.signing_key: keys.Key

    def issue(self, user_id: str, claims: dict[str, Any], not_after: datetime) -> tuple[str, int]:
        """Return a new access token for a session, and its lifetime in seconds.

        Args:
            user_id: The claim `sub`.
            claims: `sid`, the session's id, `client_id`, and claims about the user.
            not_after: When the session ends; the token expires no later.

        """
        lifetime = min(self._lifetime, not_after - clock.utcnow())
        # Flask-JWT-Extended asks for name, algorithm and key one by one; the lock keeps them those of one key.
        with self._signing:
            self.signing_key = key = self.ring().signing
            current_app.config["JWT_ALGORITHM"] = key.algorithm
            token = create_access_token(
                user_id,
                expires_delta=lifetime,
                additional_claims=claims,
                additional_headers={"kid": key.kid, "typ": TYP},
            )
        return str(token), int(lifetime.total_seconds())

    def verify(self, token: str) -> AccessToken:
        """Return the claims of a valid access token.

        Raises:
            InvalidToken: The token is not valid, for whatever reason.

        """
        self.ring()
        access = self._verified(token)  # failures raise, and are not cached
        if access.expires <= clock.utcnow():
            raise InvalidToken
        return access

    def ring(self) -> keys.KeyRing:
        """Return the current keys; if they have changed, clear the cache of verified tokens."""
        ring = self._keys.current()
        if ring is not self._ring:
            self._reset_cache(ring)
        return ring

    def _reset_cache(self, ring: keys.KeyRing) -> None:
        # In this order: a thread that sees the new keys must not use the old cache.
        self._verified = lru_cache(maxsize=MAX_CACHED)(partial(_verify, ring, self._issuer, self._audience))
        self._ring = ring


def _verify(ring: keys.KeyRing, issuer: str, audience: str, token: str) -> AccessToken:
    """Return the claims of a token with a right signature; the caller checks the expiry.

    Raises:
        InvalidToken: The token is not valid, for whatever reason.

    """
    try:
        header, claims = signatures.verify(ring, token)
        has_all_claims = all(type(claims.get(name)) is kind for name, kind in REQUIRED_CLAIMS.items())
        if not has_all_claims or claims["type"] != "access":
            raise InvalidToken
        if str(header.get("typ", "jwt")).lower() not in ACCEPTED_TYPS:
            raise InvalidToken
        if claims["iss"] != issuer or claims["aud"] != audience:
            raise InvalidToken
        latest = clock.utcnow().timestamp() + clock.LEEWAY_SECONDS
        not_before = claims.get("nbf", 0)
        if claims["iat"] > latest or not isinstance(not_before, int | float) or not not_before <= latest:
            raise InvalidToken
        expires = datetime.fromtimestamp(claims["exp"], tz=clock.UTC)
    except (ValueError, RecursionError, OverflowError, OSError) as error:
        raise InvalidToken from error  # OverflowError, OSError: a year that no calendar has
    return AccessToken(claims["sub"], claims["sid"], expires, claims)
