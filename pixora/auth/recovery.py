"""Recover an account whose password is lost, by a link to its e-mail."""

from contextlib import suppress

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.documents import new_id
from pixora.accounts.one_time_tokens import DECOY_EMAIL
from pixora.accounts.users import is_disabled
from pixora.auth import credentials
from pixora.errors import DatabaseUnavailable
from pixora.services import services
from pixora.tokens.one_time import Purpose


def send_link(email: str, client_ip: str | None) -> None:
    """Send a reset link to the user with this e-mail, if there is one who is enabled and under the limits for e-mails.

    In every case the database does the same work: a read, two counts, and two writes acknowledged by a majority.

    Raises:
        RateLimited: There have been too many requests from this network.

    """
    services.mail_throttles.count_request(client_ip)
    spellings = emails.spellings(email)
    user = services.users.find_by_email(*spellings)
    now = clock.utcnow()
    with services.mail_throttles.reset_link(spellings[-1], client_ip) as may_send:
        if user is not None and may_send and not is_disabled(user):
            record, message = services.outbox.compose_link(Purpose.RESET_PASSWORD, user["_id"], user["email"], now)
            services.one_time_tokens.issue(user, Purpose.RESET_PASSWORD, record, message)
            services.audit.record("password_reset_requested", user["_id"])
        else:
            record, message = services.outbox.compose_link(Purpose.RESET_PASSWORD, new_id(), DECOY_EMAIL, now)
            services.one_time_tokens.issue_decoy(Purpose.RESET_PASSWORD, record, message)
            services.audit.record("password_reset_requested", None)


def reset_password(token: str, new_password: str) -> None:
    """Set a new password for the user the token was sent to.

    Locks out anybody else who had access: every session and every other token ends. The token proves that the owner
    reads the mailbox, so the e-mail becomes verified, and the limits of the account are cleared.

    Raises:
        InvalidOneTimeToken: The token is not valid.
        ValidationFailed: The password is too easy to guess; the token stays valid.
        Overloaded: The password would not be hashed in time; the token stays valid.

    """
    with services.hashing_queue.slot():
        found = services.one_time_tokens.find_valid(Purpose.RESET_PASSWORD, token)
        user = found.user
        password_hash = credentials.hash_new("new_password", new_password, user)
        now = clock.utcnow()
        services.one_time_tokens.redeem(
            found,
            updates.set_password(password_hash, now, email_verified=True),
            *updates.end_sessions(),
            updates.end_tokens(*Purpose),
            updates.queue_emails(services.outbox.compose("password_changed", user["email"], now)),
        )
        services.audit.record("password_reset", user["_id"])
        with suppress(DatabaseUnavailable):  # the password is set; the counters expire by themselves
            services.mail_throttles.clear_limits(emails.canonical(user["email"]))
