"""Log in with e-mail and password."""

import secrets
from contextlib import suppress

from pixora import clock
from pixora.accounts import assurance
from pixora.accounts.assurance import Authentication
from pixora.accounts.documents import Session, User
from pixora.accounts.factors import NO_FACTOR
from pixora.accounts.users import totp_of
from pixora.auth import credentials, grants, verification
from pixora.auth.grants import Grant
from pixora.errors import EmailNotVerified, Overloaded
from pixora.factors.second_factor import use_at_login
from pixora.passwords import verify
from pixora.services import services
from pixora.tokens.refresh import SALT_BYTES

USER_AGENT_LENGTH = 200

REHASH_TIMEOUT_SECONDS = 0.5
"""How long a successful login waits for its password to be rehashed; under load it goes on without."""


def log_in(
    email: str,
    password: str,
    user_agent: str,
    client_ip: str | None,
    client_id: str | None = None,
    *,
    code: str | None = None,
) -> Grant:
    """Open a session for the user with this e-mail and password.

    `client_id` is that of OAuth, which nothing has checked; `code` is of the authenticator app, if the client has sent
    it with the password.

    Raises:
        InvalidCredentials, RateLimited, Overloaded: From the check of the password.
        EmailNotVerified: The password is right, and `REQUIRE_VERIFIED_EMAIL` is on.
        MfaRequired: The password is right, the user has a second factor, and `code` is None.
        InvalidCode, SecondFactorUnavailable: From the check of the code.

    """
    with services.hashing_queue.slot():
        while True:
            user = credentials.check_login(email, password, client_ip)
            if services.settings.require_verified_email and not user.get("email_verified"):
                services.audit.record("login_failed", user["_id"], reason=EmailNotVerified.code)
                verification.send_again_if_expired(user, client_ip)
                raise EmailNotVerified
            password_hash = _upgrade_hash(user, password)
            use = NO_FACTOR
            if factor := totp_of(user):
                use = use_at_login(user, factor, password_hash, code, client_ip)
            authentication = assurance.by_password(clock.utcnow(), with_code=use is not NO_FACTOR)
            session = new_session(user_agent, client_id, authentication)
            if services.sessions.open(user["_id"], session, password_hash, use):
                services.audit.record("login", user["_id"], session_id=session["id"])
                return grants.issue(user, session, 0, client_id)
            # Since it was read, the hash was replaced, the user was disabled or deleted, a second factor was added or
            # removed, or its code was used: check again.


def _upgrade_hash(user: User, password: str) -> str:
    """Replace a hash of lower cost, or of another system, by a current one; return the hash that is stored then.

    Imported users may have passwords that are too long for bcrypt: these keep their hash.
    """
    stored: str = user["password"]
    if verify.cost(stored) < services.settings.bcrypt_rounds and verify.can_hash(password):
        with suppress(Overloaded):  # the next login tries again
            rehashed = credentials.rehash(password, REHASH_TIMEOUT_SECONDS)
            if services.users.replace_password_hash(user["_id"], stored, rehashed):
                services.audit.record("hash_upgraded", user["_id"])
                return rehashed
    return stored


def new_session(user_agent: str, client_id: str | None, authentication: Authentication) -> Session:
    """Return a new session, which begins with an authentication."""
    session: Session = {
        "id": secrets.token_hex(12),
        "salt": secrets.token_bytes(SALT_BYTES),
        "generation": 0,
        "created_at": authentication["auth_time"],
        "last_used_at": authentication["auth_time"],
        "user_agent": user_agent[:USER_AGENT_LENGTH],
        "auth_time": authentication["auth_time"],
        "acr": authentication["acr"],
        "amr": authentication["amr"],
    }
    return session if client_id is None else {**session, "client_id": client_id}
