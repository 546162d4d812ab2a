"""Remove one's password, to log in with passkeys only.

One atomic update requires a passkey and removes the password. The one that removes a passkey requires the password or
another passkey, so requests at the same time cannot remove the last way to log in.
"""

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.documents import User
from pixora.accounts.passkeys import can_log_in
from pixora.accounts.roles import has_password
from pixora.accounts.sessions import in_session
from pixora.errors import InvalidToken
from pixora.passkeys.errors import PasskeyNeeded
from pixora.services import services
from pixora.tokens.one_time import Purpose


def remove_password(user: User, session_id: str) -> None:
    """Remove the password, end all other sessions and what e-mailed links could do, and send a notice.

    Does nothing if there is no password. A link to verify the address stays valid.

    Args:
        user: The profile. The guard checks that the login is recent.
        session_id: The requesting session, which goes on.

    Raises:
        PasskeyNeeded: The user has no passkey.
        RateLimited: The password was changed too often.
        InvalidToken: The session has ended.

    """
    if not has_password(user):
        return
    rp_id = str(services.settings.webauthn_rp_id)
    with (
        services.throttles.password_change(emails.canonical(user["email"])),
        services.mail_throttles.notice(user) as may_notify,
    ):
        now = clock.utcnow()
        stages = (
            updates.remove_password(now),
            updates.end_sessions(keep=session_id),
            updates.end_tokens(Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL),
            updates.queue_emails(
                *[services.outbox.compose("password_removed", user["email"], now)] if may_notify else []
            ),
        )
        condition = {"password_removed_at": None, **can_log_in(rp_id), **in_session(session_id)}
        while not services.users.update_user(user["_id"], *stages, **condition):
            current = services.users.find_in_session(user["_id"], session_id)
            if current is None:
                raise InvalidToken
            if not has_password(current):
                return
            if all(passkey["rp_id"] != rp_id for passkey in current.get("passkeys", [])):
                raise PasskeyNeeded
    services.audit.record("password_removed", user["_id"], session_id=session_id)
