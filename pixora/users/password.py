"""Change one's password."""

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.documents import User
from pixora.auth import credentials, permission
from pixora.errors import ValidationFailed
from pixora.services import services


def change_password(user: User, session_id: str, current: str | None, new: str, client_ip: str | None) -> None:
    """Set a new password, end all other sessions and a pending change of e-mail, and send a notice.

    A link to reset the password stays valid: it proves access to the mailbox. Otherwise somebody who knows the password
    could end every such link by changing the password again. A user without a password gets one this way.

    Raises:
        ValidationFailed: The new password is the current one, or too easy to guess; or the current one is missing.
        WrongPassword, RateLimited, Overloaded: From the check of the current password.
        RateLimited: The password was changed too often, too.
        InvalidToken: The session has ended.

    """
    if new == current:
        raise ValidationFailed({"new_password": ["Must not be the current password."]})
    with services.hashing_queue.slot():
        conditions = permission.by_password_or_step_up(user, current, client_ip, session_id, field="current_password")
        condition = next(conditions)
        with (
            services.throttles.change(emails.canonical(user["email"])),
            services.mail_throttles.notice(user) as may_notify,
        ):
            password_hash = credentials.hash_new("new_password", new, user)
            now = clock.utcnow()
            stages = (
                updates.set_password(password_hash, now),
                *updates.end_sessions(keep=session_id),
                updates.queue_emails(
                    *[services.outbox.compose("password_changed", user["email"], now)] if may_notify else []
                ),
            )
            while not services.users.update_user(user["_id"], *stages, **condition):
                condition = next(conditions)
        services.audit.record("password_changed", user["_id"], session_id=session_id)
