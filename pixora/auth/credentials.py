"""Check a password that somebody sends, and hash a new one.

An unknown user and a corrupt hash cost as much time as a wrong password, so response times reveal nothing (OWASP ASVS
5.0, 6.3.8). Every password of a disabled user, or of one without a password, is refused at the same cost and under the
same limits.

Hashes are computed in the hashing queue. Callers hold a slot of it, `with services.hashing_queue.slot()`, from their
first step to their last.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pixora import emails
from pixora.accounts.documents import User
from pixora.accounts.users import is_disabled, is_invited
from pixora.errors import InvalidCredentials, ValidationFailed, WrongPassword
from pixora.passwords import policy, verify
from pixora.services import services
from pixora.throttling.counters import Attempt
from pixora.web.middleware import caller

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def check_login(email: str, password: str, client_ip: str | None) -> User:
    """Return the user with this e-mail, as typed, and this password.

    Raises:
        InvalidCredentials: There is no such user, or the password is wrong.
        RateLimited: There have been too many wrong attempts; the password is not checked.
        Overloaded: The password would not be hashed in time.

    """
    spellings = emails.spellings(email)
    with services.throttles.attempt(spellings[-1], client_ip) as attempt:
        user = services.users.find_by_email(*spellings)
        attempt.is_correct = _is_correct(user, password)
    if user is None or not attempt.is_correct:
        _record_failure("login_failed", user, attempt)
        raise InvalidCredentials
    return user


def check_password(user: User, password: str, client_ip: str | None) -> str:
    """Return the stored hash if this is the user's password; count the attempt like a login with the user's e-mail.

    Raises:
        WrongPassword: Or the user is deleted or disabled.
        RateLimited: There have been too many wrong attempts; the password is not checked.

    """
    with services.throttles.attempt(emails.canonical(user["email"]), client_ip) as attempt:
        stored = services.users.find_credentials(user["_id"])
        attempt.is_correct = _is_correct(stored, password)
    if stored is None or not attempt.is_correct:
        _record_failure("wrong_password", stored, attempt)
        raise WrongPassword
    password_hash: str = stored["password"]
    return password_hash


def hash_new(field: str, password: str, user: Mapping[str, Any]) -> str:
    """Check that a new password is hard to guess, and return its hash. `NewPassword` has checked its length.

    The names and the e-mail of the user are known words, which make a password weak. `field` is the request field, for
    the error.

    Raises:
        ValidationFailed: The password is too easy to guess.
        Overloaded: The password would not be hashed in time.

    """
    known_words = policy.known_words(user)
    try:
        return _in_queue(_check_and_hash, password, services.settings.bcrypt_rounds, known_words)
    except policy.PasswordRejected as error:
        raise ValidationFailed({field: error.messages}) from error


def rehash(password: str, timeout: float) -> str:
    """Return a hash of the current password at the current cost; raise `Overloaded` after `timeout` seconds."""
    return _in_queue(verify.hash_password, password, services.settings.bcrypt_rounds, timeout=timeout)


def _is_correct(user: User | None, password: str) -> bool:
    """Check a password against the stored hash; return False, after the same time, if there is no user or no hash."""
    stored = None if user is None or is_invited(user) or "password" not in user else user["password"] or ""
    is_enabled = user is None or not is_disabled(user)
    try:
        return _in_queue(verify.verify_password, password, stored, services.refusal_cost(), is_enabled)
    except verify.CorruptHash as error:
        log.error(
            "Cannot check a stored password hash: %s",
            error,
            extra={"event": "corrupt_hash", "user_id": user and user["_id"]},
        )
        return False


def _record_failure(event: str, user: User | None, attempt: Attempt) -> None:
    """Record a wrong password in the audit trail, and each limit it reached."""
    user_id = user["_id"] if user else None
    services.audit.record(event, user_id)
    if attempt.limits_reached:
        services.audit.record("locked_out", user_id, limits=attempt.limits_reached)


def _check_and_hash(password: str, rounds: int, known_words: tuple[str, ...]) -> str:
    policy.check_strength(password, known_words)
    return verify.hash_password(password, rounds)


def _in_queue(function: Callable[..., Result], *arguments: Any, timeout: float | None = None) -> Result:
    return services.hashing_queue.run(function, *arguments, is_wanted=caller(), timeout=timeout)
