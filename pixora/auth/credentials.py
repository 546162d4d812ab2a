"""Checking passwords: the one way, for all that do.

A guess is counted by the throttles before it is checked, and settled after. It is checked in the hashing room, and by a
request that holds a seat there. An unknown user and a corrupt hash cost the same hash as a wrong password, so that time
tells nothing (OWASP ASVS 5.0, 6.3.8). Any password of a disabled user is a wrong one, and is hashed and counted so.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import current_app

from pixora import metrics, passwords
from pixora.audit import audit
from pixora.database import Document
from pixora.errors import InvalidCredentials, Overloaded, ValidationFailed, WrongPassword
from pixora.hashing import room
from pixora.requests import caller
from pixora.throttles import throttles
from pixora.users.fields import spellings
from pixora.users.standing import is_disabled
from pixora.users.store import store

log = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def seated(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Have a function that checks or hashes passwords hold a seat in the waiting room, for all that it waits for.

    Raises:
        Overloaded: there is none; or, while it runs, its password would not be hashed in time.

    """

    @wraps(function)
    def with_seat(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            with room.seat():
                return function(*args, **kwargs)
        except Overloaded:
            metrics.hashing_shed.inc()
            raise

    return with_seat


def check(email: str, password: str, address: str | None) -> Document:
    """Return the user who has this e-mail address and password, with the hash; `address` is the client's.

    Raises:
        InvalidCredentials: whatever is wrong.
        RateLimited: there have been too many wrong guesses; the password is not looked at.

    """
    known_as = spellings(email)
    user = _guess("login_failed", known_as[-1], password, address, lambda: store.find_by_email(*known_as))
    if user is None:
        raise InvalidCredentials
    return user


def check_own(user: Document, password: str, address: str | None) -> str:
    """Return the hash that the password of a user, who is known already, was checked with.

    Args:
        user: `_id`, `email`. Guesses count as those of a login with this address do.
        password: What someone has typed.
        address: The client's.

    Raises:
        WrongPassword: it is, or the user is gone or disabled.
        RateLimited: there have been too many wrong guesses; the password is not looked at.

    """
    found = _guess("wrong_password", canonical(user), password, address, lambda: store.find_credentials(user["_id"]))
    if found is None:
        raise WrongPassword
    stored: str = found["password"]
    return stored


def canonical(user: Document) -> str:
    """Return the address of a user in the form by which accounts are counted."""
    return spellings(user["email"])[-1]


def require_good(field: str, password: str, user: Document) -> None:
    """Check a new password of a user's; raise `ValidationFailed`, with the advice under the name of the field."""
    known_words = passwords.known_words(user["first_name"], user["last_name"], user["email"])
    try:
        passwords.check_policy(password, current_app.config["PASSWORD_MIN_LENGTH"], known_words)
    except passwords.PasswordRejected as error:
        raise ValidationFailed({field: error.messages}) from error


def hash_password(password: str, patience: float | None = None) -> str:
    """Return the hash of a new password, at today's cost; `patience`: as in `HashingRoom.run`."""
    rounds = current_app.config["BCRYPT_ROUNDS"]
    return room.run(passwords.hash_password, password, rounds, is_wanted=caller(), patience=patience)


def _guess(
    event: str, email: str, password: str, address: str | None, find: Callable[[], Document | None]
) -> Document | None:
    """Return the user who is found, if this is the password; else record the event."""
    with throttles.guess(email, address) as guess:
        user = find()
        guess.right = _is_password_of(user, password) and user is not None and not is_disabled(user)
    if guess.right:
        return user
    user_id = user["_id"] if user else None
    audit.record(event, user_id)
    if guess.fills:
        audit.record("locked_out", user_id, limits=guess.fills)
    return None


def _is_password_of(user: Document | None, password: str) -> bool:
    costs = current_app.extensions["hash_costs"]
    stored = None if user is None else user.get("password") or ""
    with suppress(passwords.CorruptHash):
        costs[passwords.kind(stored)] += 1
    # At the cost that most of the hashes we meet have: not always today's.
    usual_cost = passwords.usual_cost(dict(costs))  # a copy: other threads meet other kinds
    try:
        return room.run(passwords.verify_password, password, stored, usual_cost, is_wanted=caller())
    except passwords.CorruptHash as error:
        log.error("A stored hash: %s", error, extra={"event": "corrupt_hash", "user_id": user and user["_id"]})
        return False
