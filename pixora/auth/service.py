"""The rules of signing up, logging in and staying logged in."""

import contextlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypedDict

from flask import g

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.one_time_tokens import DECOY_EMAIL
from pixora.accounts.outbox import compose
from pixora.accounts.roles import USER, is_disabled
from pixora.auth import credentials, verification
from pixora.database.client import Document
from pixora.errors import EmailNotVerified, EmailTaken, InvalidGrant, Overloaded
from pixora.passwords import verify
from pixora.services import services
from pixora.tokens import refresh as refresh_tokens
from pixora.tokens.one_time import Purpose
from pixora.tokens.refresh import RefreshToken

USER_AGENT_LENGTH = 200

UNANSWERED = timedelta(minutes=5)
"""How long the predecessor of a refresh token is taken when we do not know that the successor was ready to be sent: the
database had moved the session on and could not say so. Longer than an outage, with the pauses that clients make."""

MOST_REPEATS = 100
"""How often one refresh token is answered again: as many as tabs that come back at once."""

REHASH_TIMEOUT_SECONDS = 0.5
"""How long a login that has succeeded waits for its password to be hashed anew: in a storm it goes on without."""


class Grant(TypedDict):
    """The answer of a token endpoint (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str


@credentials.seated
def sign_up(profile: Mapping[str, str], password: str, address: str | None) -> str:
    """Create a user, post the letter that verifies the address, and return the id; `address` is the client's.

    With `ENUMERATION_SAFE` the owner of an address that is taken gets a letter, and the id of nobody is returned.
    Whether or not it is taken, the same is done then: a read, a count, and two writes that a majority acknowledges. An
    address that has had enough e-mails for now gets none; that of a new account can be asked for again later.

    Raises:
        EmailTaken: there is one with this e-mail address; not with `ENUMERATION_SAFE`.
        RateLimited: the client has signed up too often; no password is scored or hashed for it.
        ValidationFailed: the password is easy to guess; told under `password`, and counted as an attempt.
        Overloaded: too many passwords are waiting to be hashed; so too in `log_in`.

    """
    services.throttles.count_sign_up(address)
    password_hash = credentials.hash_new("password", password, profile)
    now = clock.utcnow()
    user_id = services.users.new_id()
    token, posted = verification.post(user_id, profile["email"], now)
    user = {
        "_id": user_id,
        **profile,
        "password": password_hash,
        "email_verified": False,
        "roles": [USER],
        "tokens": {Purpose.VERIFY_EMAIL.value: token},
        "letters": [posted],
    }
    email = profile["email"]
    if not services.settings.enumeration_safe:
        try:
            _create(user, now)
        except EmailTaken:
            services.audit.record("signup_refused", None)  # whose address it is, is not looked up
            raise
    elif owner := services.users.find_by_email(email):
        _tell_owner(owner, email, now)
    else:
        try:
            _create(user, now)
        except EmailTaken:  # since it was looked for
            _tell_owner(services.users.find_by_email(email), email, now)
    return user_id


@credentials.seated
def log_in(email: str, password: str, user_agent: str, address: str | None) -> Grant:
    """Open a session for the user who has this e-mail address and password; `address` is the client's.

    A hash of a lower cost than today's, or of another system, is replaced, now that the password is known; unless it is
    too long for bcrypt, which the passwords of imported users may be.

    Raises:
        InvalidCredentials: whatever is wrong.
        RateLimited: there have been too many wrong guesses; the password is not looked at.
        EmailNotVerified: the password is right, and `REQUIRE_VERIFIED_EMAIL` is on. If the last link has expired, a new
            one is sent.

    """
    while True:
        user = credentials.check(email, password, address)
        if services.settings.require_verified_email and not user.get("email_verified"):
            services.audit.record("login_failed", user["_id"], reason=EmailNotVerified.code)
            verification.send_again_if_expired(user, address)
            raise EmailNotVerified
        stored = user["password"]
        if verify.cost(stored) < services.settings.bcrypt_rounds and verify.can_hash(password):
            with contextlib.suppress(Overloaded):  # then at another login
                rehashed = credentials.hash_again(password, REHASH_TIMEOUT_SECONDS)
                if services.users.replace_password_hash(user["_id"], stored, rehashed):
                    stored = rehashed
                    services.audit.record("hash_upgraded", user["_id"])
        now = clock.utcnow()
        session = {
            "id": secrets.token_hex(12),
            "salt": secrets.token_bytes(refresh_tokens.SALT_BYTES),
            "generation": 0,
            "created_at": now,
            "last_used_at": now,
            "user_agent": user_agent[:USER_AGENT_LENGTH],
        }
        if services.sessions.open(user["_id"], session, stored):
            services.audit.record("login", user["_id"], session_id=session["id"])
            return _grant(user["_id"], session, 0)
        # The password was changed meanwhile, or only its hash, or the user is gone or disabled: look again.


def refresh(text: str) -> Grant:
    """Exchange a refresh token for its successor and a new access token (RFC 6749, section 6; RFC 9700, 4.14).

    The token of the session's current generation moves the session on, in one atomic operation. The one just before
    it gets the same successor again, at most `MOST_REPEATS` times, for `REFRESH_GRACE_SECONDS`: its answer was lost, or
    another tab was faster. That time begins when the database has acknowledged the operation. Until then nobody can
    have got the successor, so whoever comes again, after an outage, has not stolen anything. Any older one that is
    genuine has been stolen, from or by whom cannot be told, and ends the session. What is not genuine changes nothing,
    and costs no write.

    Raises:
        InvalidGrant: whatever is wrong.

    """
    token = RefreshToken.parse(text)
    while token is not None:
        now = clock.utcnow()
        session = services.sessions.find_session(token.user_id, token.session_id)
        if session is None or not token.is_genuine(services.settings.secret_key, session["salt"]):
            break
        if services.sessions.lifetimes.has_ended(session, now):
            break
        current = session["generation"]
        if token.generation == current:
            if services.sessions.advance(token.user_id, token.session_id, current, now):
                return _grant_successor(token, session, current + 1)
            continue  # another request was first: look again
        if token.generation == current - 1 and _is_in_grace(session, now):
            if services.sessions.repeat(token.user_id, token.session_id, current, MOST_REPEATS):
                return _grant_successor(token, session, current)
            break  # too often; or the session has moved on or ended just now
        if token.generation < current and services.sessions.end(token.user_id, token.session_id):
            services.audit.record("refresh_reuse", token.user_id, session_id=token.session_id)
        break  # a generation still to come is one of before the database was restored from a backup
    raise InvalidGrant


def _is_in_grace(session: Document, now: datetime) -> bool:
    grace = timedelta(seconds=services.settings.refresh_grace_seconds)
    answered = session.get("answered", {})
    if answered.get("generation") == session["generation"]:
        return bool(now - answered["at"] <= grace)
    return bool(now - session["last_used_at"] <= max(grace, UNANSWERED))


def _grant_successor(token: RefreshToken, session: Document, generation: int) -> Grant:
    if session.get("answered", {}).get("generation") != generation:
        services.sessions.note_answer(token.user_id, token.session_id, generation, clock.utcnow())
    return _grant(token.user_id, session, generation)


def _grant(user_id: str, session: Document, generation: int) -> Grant:
    g.user_id = user_id  # for the log
    not_after = session["created_at"] + services.sessions.lifetimes.absolute
    access_token, expires_in = services.tokens.issue(user_id, session["id"], not_after)
    secret = services.settings.secret_key
    refresh_token = refresh_tokens.make(user_id, session["id"], generation, secret, session["salt"])
    return {
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": expires_in,
        "refresh_token": refresh_token,
    }


def _create(user: Document, now: datetime) -> None:
    with services.mail_throttles.own(user["email"]) as may_go:
        services.users.create_user(user if may_go else user | {"tokens": {}, "letters": []}, now)
    services.audit.record("signup", user["_id"])


def _tell_owner(owner: Document | None, email: str, now: datetime) -> None:
    """Post a letter to someone whose address was used to sign up again, or do what looks like it from outside.

    Who is disabled gets none: it says how to log in.
    """
    with services.mail_throttles.taken(email) as may_go:
        if owner is None or not may_go or is_disabled(owner):
            services.one_time_tokens.issue_decoy(Purpose.VERIFY_EMAIL, {}, compose("address_taken", DECOY_EMAIL, now))
        else:
            posted = compose("address_taken", owner["email"], now)
            services.users.update_user(owner["_id"], updates.queue_emails(posted), email=owner["email"])
    services.audit.record("signup_refused", owner["_id"] if owner else None)
