"""Invitations: an account without a password, and a link by which its owner chooses one.

Until then every login fails like one of an unknown user, and the account does not count as an administrator. The link
proves that the owner reads the mailbox, so the e-mail becomes verified. A password reset does the same.
"""

from contextlib import suppress

from pixora import clock, emails
from pixora.accounts import updates
from pixora.auth import credentials
from pixora.errors import DatabaseUnavailable
from pixora.services import services
from pixora.tokens.one_time import Purpose


def accept(token: str, new_password: str) -> None:
    """Set the password of the user the invitation was sent to.

    Raises:
        InvalidOneTimeToken: The token is not valid.
        ValidationFailed: The password is too easy to guess; the token stays valid.
        Overloaded: The password would not be hashed in time; the token stays valid.

    """
    with services.hashing_queue.slot():
        found = services.one_time_tokens.find_valid(Purpose.INVITATION, token)
        password_hash = credentials.hash_new("new_password", new_password, found.user)
        services.one_time_tokens.redeem(
            found,
            updates.set_password(password_hash, clock.utcnow(), email_verified=True),
            updates.end_tokens(*Purpose),
        )
        services.audit.record("invitation_accepted", found.user["_id"])
        with suppress(DatabaseUnavailable):  # the password is set; the counters expire by themselves
            services.mail_throttles.clear_limits(emails.canonical(found.user["email"]))
