"""Recovering an account whose password is lost, by a letter to its address."""

from contextlib import suppress

from pixora import clock
from pixora.audit import audit
from pixora.auth import credentials
from pixora.auth.one_time_tokens import OneTimeToken, Purpose
from pixora.auth.redemption import Redemption
from pixora.errors import DatabaseUnavailable
from pixora.mail_throttles import mail_throttles
from pixora.throttles import throttles
from pixora.users import changes
from pixora.users.fields import spellings
from pixora.users.letters import letter
from pixora.users.pending import NOBODY, pending
from pixora.users.standing import is_disabled
from pixora.users.store import store


def request(email: str, client_ip: str | None) -> None:
    """Send a letter to the user who has this address, if there is one, not disabled, and there have not been too many.

    Whether or not it is so, the same is done: a read, two counts, and two writes that a majority acknowledges.

    Raises:
        RateLimited: the client's network has asked for too many letters, to whomever.

    """
    mail_throttles.count_request(client_ip)
    known_as = spellings(email)
    user = store.find_by_email(*known_as)
    now = clock.utcnow()
    token = OneTimeToken.make(user["_id"] if user else store.new_id())
    record = token.record(Purpose.RESET_PASSWORD, now)
    with mail_throttles.reset(known_as[-1], client_ip) as may_go:
        if user is not None and may_go and not is_disabled(user):
            posted = letter("reset_password", user["email"], now, secret=token.text)
            pending.issue(user, Purpose.RESET_PASSWORD, record, posted)
            audit.record("password_reset_requested", user["_id"])
        else:
            posted = letter("reset_password", NOBODY, now, secret=token.text)
            pending.pretend(Purpose.RESET_PASSWORD, record, posted)
            audit.record("password_reset_requested", None)


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
    redemption.spend(
        changes.setting({"password": password_hash, "email_verified": True}, now),
        changes.ending_sessions(),
        changes.ending_tokens(*Purpose),
        changes.posting(letter("password_changed", redemption.user["email"], now)),
    )
    audit.record("password_reset", redemption.user["_id"])
    email = credentials.canonical(redemption.user)
    with suppress(DatabaseUnavailable):  # the password is set; the counters end by themselves
        throttles.clear_login(email)
        mail_throttles.clear_link(email)
