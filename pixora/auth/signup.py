"""Sign up."""

from collections.abc import Mapping
from datetime import datetime

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.documents import User, new_id, new_user
from pixora.accounts.one_time_tokens import DECOY_EMAIL
from pixora.accounts.users import is_disabled
from pixora.auth import credentials
from pixora.errors import EmailTaken
from pixora.services import services
from pixora.tokens.one_time import Purpose
from pixora.web import languages


def sign_up(profile: Mapping[str, str], password: str, client_ip: str | None, accept_language: str = "") -> str:
    """Create a user, queue the verification e-mail, and return the user's id.

    With `ENUMERATION_SAFE` the owner of a taken e-mail gets a message, and the returned id belongs to nobody. In both
    cases the database does the same work: a read, a count, and two writes acknowledged by a majority. An e-mail that
    has received too many messages gets none; the owner of a new account can request one later.

    Raises:
        EmailTaken: Another user has this e-mail; never with `ENUMERATION_SAFE`.
        RateLimited: There have been too many sign-ups from this network; the password is neither scored nor hashed.
        ValidationFailed: The password is too easy to guess; counts as a sign-up.
        Overloaded: The password would not be hashed in time.

    """
    with services.hashing_queue.slot():
        services.throttles.count(*services.throttles.by_network("THROTTLE_SIGNUP_PER_IP", client_ip))
        password_hash = credentials.hash_new("password", password, profile)
        now = clock.utcnow()
        user_id, email = new_id(), profile["email"]
        token, message = services.outbox.compose_link(Purpose.VERIFY_EMAIL, user_id, email, now)
        user = new_user(profile, password_hash, now, user_id=user_id)
        if "locale" not in user and (preferred := languages.preferred(accept_language)):
            user["accept_language"] = preferred
        user["tokens"], user["letters"] = {Purpose.VERIFY_EMAIL.value: token}, [message]
        if not services.settings.enumeration_safe:
            try:
                _create(user)
            except EmailTaken:
                services.audit.record("signup_refused", None)  # without a read to find out whose e-mail it is
                raise
        elif owner := services.users.find_by_email(email):
            _notify_owner(owner, email, now)
        else:
            try:
                _create(user)
            except EmailTaken:  # by a sign-up since the read
                _notify_owner(services.users.find_by_email(email), email, now)
        return user_id


def _create(user: User) -> None:
    with services.mail_throttles.sign_up(user["email"]) as may_send:
        services.users.create_user(user if may_send else {**user, "tokens": {}, "letters": []})
    services.audit.record("signup", user["_id"])


def _notify_owner(owner: User | None, email: str, now: datetime) -> None:
    """Tell the owner of a taken e-mail about the sign-up, or do the same work on a decoy.

    Disabled users get no message, because it explains how to log in.
    """
    with services.mail_throttles.address_taken(email) as may_send:
        if owner is None or not may_send or is_disabled(owner):
            services.one_time_tokens.issue_decoy(
                Purpose.VERIFY_EMAIL, {}, services.outbox.compose("address_taken", DECOY_EMAIL, now)
            )
        else:
            message = services.outbox.compose("address_taken", owner["email"], now)
            services.users.update_user(owner["_id"], updates.queue_emails(message), email=owner["email"])
    services.audit.record("signup_refused", owner["_id"] if owner else None)
