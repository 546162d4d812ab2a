"""Checking passwords: the one way, for all that do.

A guess is counted by the throttles before it is checked, and settled after. It is checked in the hashing room, and by a
request that holds a seat there. An unknown user and a corrupt hash cost the same hash as a wrong password, so that time
tells nothing (OWASP ASVS 5.0, 6.3.8). Any password of a disabled user is a wrong one, and is hashed and counted so.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pixora import emails
from pixora.accounts.roles import is_disabled
from pixora.database.client import Document
from pixora.errors import InvalidCredentials, ValidationFailed, WrongPassword
from pixora.passwords import policy, verify
from pixora.services import services
from pixora.web.middleware import caller

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
        with services.hashing_queue.slot():
            return function(*args, **kwargs)

    return with_seat


def check(email: str, password: str, address: str | None) -> Document:
    """Return the user who has this e-mail address and password, with the hash; `address` is the client's.

    Raises:
        InvalidCredentials: whatever is wrong.
        RateLimited: there have been too many wrong guesses; the password is not looked at.

    """
    known_as = emails.spellings(email)
    user = _attempt("login_failed", known_as[-1], password, address, lambda: services.users.find_by_email(*known_as))
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
    found = _attempt(
        "wrong_password", canonical(user), password, address, lambda: services.users.find_credentials(user["_id"])
    )
    if found is None:
        raise WrongPassword
    stored: str = found["password"]
    return stored


def canonical(user: Document) -> str:
    """Return the address of a user in the form by which accounts are counted."""
    return emails.canonical(user["email"])


def require_length(field: str, password: str) -> None:
    """Check the length of a new password; raise `ValidationFailed`, told under the name of the field."""
    with _told_under(field):
        policy.check_length(password, services.settings.password_min_length)


def hash_new(field: str, password: str, user: Mapping[str, str]) -> str:
    """Return the hash of a new password, at today's cost, after a check that it is not easy to guess.

    Args:
        field: Where it came from.
        password: Of an acceptable length.
        user: Whose names and address it must not be made of: `first_name`, `last_name`, `email`.

    Raises:
        ValidationFailed: it may not be used; zxcvbn's advice is told under the name of the field.
        Overloaded: it would not be hashed in time.

    """
    known_words = policy.known_words(user["first_name"], user["last_name"], user["email"])
    with _told_under(field):
        return _in_queue(_check_and_hash, password, services.settings.bcrypt_rounds, known_words)


def hash_again(password: str, timeout: float) -> str:
    """Return the hash of a password that is in use, at today's cost; `timeout`: as in `HashingRoom.run`."""
    return _in_queue(verify.hash_password, password, services.settings.bcrypt_rounds, timeout=timeout)


def _check_and_hash(password: str, rounds: int, known_words: tuple[str, ...]) -> str:
    policy.check_strength(password, known_words)
    return verify.hash_password(password, rounds)


def _in_queue(function: Callable[..., str], *arguments: Any, timeout: float | None = None) -> str:
    return services.hashing_queue.run(function, *arguments, is_wanted=caller(), timeout=timeout)


@contextmanager
def _told_under(field: str) -> Iterator[None]:
    try:
        yield
    except policy.PasswordRejected as error:
        raise ValidationFailed({field: error.messages}) from error


def _attempt(
    event: str, email: str, password: str, address: str | None, find: Callable[[], Document | None]
) -> Document | None:
    """Return the user who is found, if this is the password; else record the event."""
    with services.throttles.attempt(email, address) as attempt:
        user = find()
        attempt.is_correct = _is_password_of(user, password)
    if attempt.is_correct:
        return user
    user_id = user["_id"] if user else None
    services.audit.record(event, user_id)
    if attempt.limits_reached:
        services.audit.record("locked_out", user_id, limits=attempt.limits_reached)
    return None


def _is_password_of(user: Document | None, password: str) -> bool:
    stored = None if user is None else user.get("password") or ""
    is_enabled = user is None or not is_disabled(user)
    try:
        return services.hashing_queue.run(
            verify.verify_password, password, stored, services.refusal_cost(), is_enabled, is_wanted=caller()
        )
    except verify.CorruptHash as error:
        log.error("A stored hash: %s", error, extra={"event": "corrupt_hash", "user_id": user and user["_id"]})
        return False
