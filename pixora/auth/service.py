"""The rules of signing up and logging in."""

import logging
from collections.abc import Mapping

from flask import current_app

from pixora import passwords
from pixora.database import Document
from pixora.errors import InvalidCredentials
from pixora.users.fields import spellings
from pixora.users.store import store

log = logging.getLogger(__name__)


def sign_up(profile: Mapping[str, str], password: str) -> str:
    """Create a user and return the id.

    Raises:
        EmailTaken: there is one with this address.

    """
    return store.create(profile, passwords.hash_password(password, current_app.config["BCRYPT_ROUNDS"]))


def log_in(email: str, password: str) -> Document:
    """Return the user who has this address and password.

    An unknown address and a corrupt hash cost the same hash as a wrong password, so that time tells nothing
    (OWASP ASVS 5.0, 6.3.8). A hash of a lower cost than today's is replaced, now that the password is known.

    Raises:
        InvalidCredentials: whatever is wrong.

    """
    rounds = current_app.config["BCRYPT_ROUNDS"]
    user = store.find_by_email(*spellings(email))
    right = _is_password_of(user, password, rounds)
    if user is None or not right:
        raise InvalidCredentials
    stored = user["password"]
    if passwords.cost(stored) < rounds:
        store.replace_password_hash(user["_id"], stored, passwords.hash_password(password, rounds))
    return user


def _is_password_of(user: Document | None, password: str, rounds: int) -> bool:
    if user is not None:
        try:
            return passwords.verify_password(password, user.get("password"))
        except passwords.CorruptHash as error:
            log.error("A stored hash: %s", error, extra={"event": "corrupt_hash", "user_id": user["_id"]})
    passwords.verify_password(password, passwords.dummy_hash(rounds))
    return False
