"""The rules of signing up, logging in and staying logged in."""

import contextlib
import logging
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import TypedDict

from flask import current_app

from pixora import clock, passwords
from pixora.auth import refresh_tokens
from pixora.auth.refresh_tokens import RefreshToken
from pixora.database import Document
from pixora.errors import InvalidCredentials, InvalidGrant, Overloaded
from pixora.hashing import room
from pixora.requests import caller
from pixora.throttles import throttles
from pixora.tokens import tokens
from pixora.users.fields import spellings
from pixora.users.sessions import sessions
from pixora.users.store import store

log = logging.getLogger(__name__)

USER_AGENT_LENGTH = 200

REHASH_PATIENCE_SECONDS = 0.5
"""How long a login that has succeeded waits for its password to be hashed anew: in a storm it goes on without."""


class Grant(TypedDict):
    """The answer of a token endpoint (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str


def sign_up(profile: Mapping[str, str], password: str, address: str | None) -> str:
    """Create a user and return the id; `address` is the client's.

    Raises:
        EmailTaken: there is one with this e-mail address.
        RateLimited: the client has signed up too often; no password is hashed for it.
        Overloaded: too many passwords are waiting to be hashed; so too in `log_in`.

    """
    throttles.count_sign_up(address)
    return store.create(profile, _hash(password))


def log_in(email: str, password: str, user_agent: str, address: str | None) -> Grant:
    """Open a session for the user who has this e-mail address and password; `address` is the client's.

    An unknown address and a corrupt hash cost the same hash as a wrong password, so that time tells nothing
    (OWASP ASVS 5.0, 6.3.8). A hash of a lower cost than today's is replaced, now that the password is known.

    Raises:
        InvalidCredentials: whatever is wrong.
        RateLimited: there have been too many wrong guesses; the password is not looked at.

    """
    known_as = spellings(email)
    with throttles.guess(known_as[-1], address) as guess:
        user = store.find_by_email(*known_as)
        guess.right = _is_password_of(user, password)
    if user is None or not guess.right:
        raise InvalidCredentials
    stored = user["password"]
    if passwords.cost(stored) < current_app.config["BCRYPT_ROUNDS"]:
        with contextlib.suppress(Overloaded):  # then at another login
            store.replace_password_hash(user["_id"], stored, _hash(password, REHASH_PATIENCE_SECONDS))
    now = clock.utcnow()
    session = {
        "id": secrets.token_hex(12),
        "salt": secrets.token_bytes(refresh_tokens.SALT_BYTES),
        "generation": 0,
        "created_at": now,
        "last_used_at": now,
        "user_agent": user_agent[:USER_AGENT_LENGTH],
    }
    if not sessions.open(user["_id"], session):
        raise InvalidCredentials  # the user was deleted meanwhile
    return _grant(user["_id"], session, 0)


def refresh(text: str) -> Grant:
    """Exchange a refresh token for its successor and a new access token (RFC 6749, section 6; RFC 9700, 4.14).

    The token of the session's current generation moves the session on, in one atomic operation. The one just before
    it gets the same successor again for `REFRESH_GRACE_SECONDS`: its answer was lost, or another tab was faster. Any
    older one that is genuine has been stolen, from or by whom cannot be told, and ends the session. What is not
    genuine changes nothing, and costs no write.

    Raises:
        InvalidGrant: whatever is wrong.

    """
    token = RefreshToken.parse(text)
    while token is not None:
        now = clock.utcnow()
        session = sessions.find(token.user_id, token.session_id)
        if session is None or not token.is_genuine(current_app.config["SECRET_KEY"], session["salt"]):
            break
        if sessions.lifetimes.has_ended(session, now):
            break
        current = session["generation"]
        if token.generation == current:
            if sessions.advance(token.user_id, token.session_id, current, now):
                return _grant(token.user_id, session, current + 1)
            continue  # another request was first: look again
        grace = timedelta(seconds=current_app.config["REFRESH_GRACE_SECONDS"])
        if token.generation == current - 1 and now - session["last_used_at"] <= grace:
            return _grant(token.user_id, session, current)
        if token.generation < current:
            sessions.end(token.user_id, token.session_id)
            log.warning(
                "A used refresh token came again; its session was ended.",
                extra={"event": "refresh_reuse", "user_id": token.user_id, "session_id": token.session_id},
            )
        break  # a generation still to come is one of before the database was restored from a backup
    raise InvalidGrant


def _grant(user_id: str, session: Document, generation: int) -> Grant:
    not_after = session["created_at"] + sessions.lifetimes.absolute
    access_token, expires_in = tokens.issue(user_id, session["id"], not_after)
    secret = current_app.config["SECRET_KEY"]
    refresh_token = refresh_tokens.make(user_id, session["id"], generation, secret, session["salt"])
    return {
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": expires_in,
        "refresh_token": refresh_token,
    }


def _is_password_of(user: Document | None, password: str) -> bool:
    costs = current_app.extensions["hash_costs"]
    if user is not None:
        stored = user.get("password")
        try:
            costs[passwords.cost(stored)] += 1
            return room.run(passwords.verify_password, password, stored, is_wanted=caller())
        except passwords.CorruptHash as error:
            log.error("A stored hash: %s", error, extra={"event": "corrupt_hash", "user_id": user["_id"]})
    # At the cost that most of the hashes we meet have: not always today's.
    dummy = passwords.dummy_hash(max(costs, key=costs.get))
    room.run(passwords.verify_password, password, dummy, is_wanted=caller())
    return False


def _hash(password: str, patience: float | None = None) -> str:
    rounds = current_app.config["BCRYPT_ROUNDS"]
    return room.run(passwords.hash_password, password, rounds, is_wanted=caller(), patience=patience)
