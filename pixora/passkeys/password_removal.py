"""Remove one's password, to log in with passkeys only.

It takes the password besides the recent login. Otherwise a thief of an access token, without password and mailbox,
could add a passkey, log in with it, remove the password and then do all that only the password allows.

One atomic update requires a passkey and removes the password. The one that removes a passkey requires the password or
another passkey, so requests at the same time cannot remove the last way to log in.
"""

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.documents import User
from pixora.accounts.passkeys import can_log_in
from pixora.accounts.users import accepted_passkeys, has_password
from pixora.auth import permission
from pixora.passkeys.errors import PasskeyNeeded
from pixora.services import services


def remove_password(user: User, session_id: str, password: str, client_ip: str | None) -> None:
    """Remove the password, end all other sessions and a pending change of e-mail, and send a notice.

    Does nothing if there is no password. A link to reset the password stays valid, as at a change of the password.

    Raises:
        WrongPassword, RateLimited, Overloaded: From the check of the password.
        RateLimited: The password was changed too often, too.
        PasskeyNeeded: The user has no passkey.
        InvalidToken: The session has ended.

    """
    if not has_password(user):
        return
    rp_id = str(services.settings.webauthn_rp_id)
    with services.hashing_queue.slot():
        conditions = permission.by_password(user, password, client_ip, session_id)
        condition = next(conditions)
        with (
            services.throttles.change(emails.canonical(user["email"])),
            services.mail_throttles.notice(user) as may_notify,
        ):
            now = clock.utcnow()
            stages = (
                updates.remove_password(now),
                *updates.end_sessions(keep=session_id),
                updates.queue_emails(
                    *[services.outbox.compose("password_removed", user["email"], now)] if may_notify else []
                ),
            )
            while not services.users.update_user(user["_id"], *stages, **condition, **can_log_in(rp_id)):
                current = services.users.find_in_session(user["_id"], session_id)
                if not has_password(current):
                    return
                if not accepted_passkeys(current, services.settings):
                    raise PasskeyNeeded
                condition = next(conditions)
        services.audit.record("password_removed", user["_id"], session_id=session_id)
