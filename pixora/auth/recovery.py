"""Recovering an account whose password is lost, by a letter to its address."""

from contextlib import suppress

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.one_time_tokens import DECOY_EMAIL
from pixora.accounts.outbox import compose
from pixora.accounts.roles import is_disabled
from pixora.auth import credentials
from pixora.auth.redemption import Redemption
from pixora.errors import DatabaseUnavailable
from pixora.services import services
from pixora.tokens.one_time import OneTimeToken, Purpose


def request(email: str, client_ip: str | None) -> None:
    """Send a letter to the user who has this address, if there is one, not disabled, and there have not been too many.

    Whether or not it is so, the same is done: a read, two counts, and two writes that a majority acknowledges.

    Raises:
        RateLimited: the client's network has asked for too many letters, to whomever.

    """
    services.mail_throttles.count_request(client_ip)
    known_as = emails.spellings(email)
    user = services.users.find_by_email(*known_as)
    now = clock.utcnow()
    token = OneTimeToken.make(user["_id"] if user else services.users.new_id())
    record = token.record(Purpose.RESET_PASSWORD, now)
    with services.mail_throttles.reset(known_as[-1], client_ip) as may_go:
        if user is not None and may_go and not is_disabled(user):
            posted = compose("reset_password", user["email"], now, secret=token.text)
            services.one_time_tokens.issue(user, Purpose.RESET_PASSWORD, record, posted)
            services.audit.record("password_reset_requested", user["_id"])
        else:
            posted = compose("reset_password", DECOY_EMAIL, now, secret=token.text)
            services.one_time_tokens.issue_decoy(Purpose.RESET_PASSWORD, record, posted)
            services.audit.record("password_reset_requested", None)


@credentials.seated
def reset(token: str, new_password: str) -> None:
    """Give the user whom the token was sent to a new password.

    Every session ends, and so do all other tokens: whoever has the account by stealth is out. The address counts as
    verified, for the letter has arrived there, and is told. It has proved the owner: wrong passwords that others have
    tried no longer count.

    Raises:
        InvalidOneTimeToken: the token is not good.
        ValidationFailed: the password may not be used; so told under `new_password`. The token stays good.
        Overloaded: the password would not be hashed in time; the token stays good.

    """
    credentials.require_length("new_password", new_password)
    redemption = Redemption(Purpose.RESET_PASSWORD, token)
    password_hash = credentials.hash_new("new_password", new_password, redemption.user)
    now = clock.utcnow()
    redemption.redeem(
        updates.set_fields({"password": password_hash, "email_verified": True}, now),
        updates.end_sessions(),
        updates.end_tokens(*Purpose),
        updates.queue_emails(compose("password_changed", redemption.user["email"], now)),
    )
    services.audit.record("password_reset", redemption.user["_id"])
    email = credentials.canonical(redemption.user)
    with suppress(DatabaseUnavailable):  # the password is set; the counters end by themselves
        services.throttles.clear_login(email)
        services.mail_throttles.clear_link(email)
