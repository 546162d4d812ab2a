"""What the owner of an account does with it, by its password: change that, and delete the account."""

import contextlib

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.outbox import compose
from pixora.auth import credentials, permission
from pixora.database.client import Document
from pixora.errors import DatabaseUnavailable, ValidationFailed
from pixora.services import services
from pixora.tokens.one_time import Purpose


@credentials.seated
def change_password(user: Document, session_id: str, current: str, new: str, address: str | None) -> None:
    """Give a user a new password, end all other sessions and a change of address under way, and say so.

    A link to reset the password stays good: it proves the mailbox. Or somebody who knows the password could end each
    one that the owner asks for, by changing it again.

    Args:
        user: The profile.
        session_id: Of the session that goes on.
        current: Must be the user's password.
        new: The new one.
        address: The client's.

    Raises:
        ValidationFailed: the new one may not be used, or is the current one; told under `new_password`.
        WrongPassword, RateLimited, Overloaded: of the current one.
        RateLimited: the password was changed too often, too.
        InvalidToken: the session has ended.

    """
    if new == current:
        raise ValidationFailed({"new_password": ["Must not be the current one."]})
    credentials.require_length("new_password", new)
    allowed = permission.by_password(user, current, address, session_id)
    condition = next(allowed)
    with (
        services.throttles.password_change(credentials.canonical(user)),
        services.mail_throttles.notice(user) as may_tell,
    ):
        password_hash = credentials.hash_new("new_password", new, user)
        now = clock.utcnow()
        stages = (
            updates.set_fields({"password": password_hash}, now),
            updates.end_sessions(keep=session_id),
            updates.end_tokens(Purpose.CHANGE_EMAIL),
            updates.queue_emails(*[compose("password_changed", user["email"], now)] if may_tell else []),
        )
        while not services.users.update_user(user["_id"], *stages, **condition):
            condition = next(allowed)
    services.audit.record("password_changed", user["_id"], session_id=session_id)


@credentials.seated
def delete(user: Document, session_id: str, password: str, address: str | None) -> None:
    """Delete a user, all that is stored in the document with it, and the attempts to log in.

    E-mails to the address stay counted: the account may be made again, and the mailbox is the same.

    Args:
        user: The profile.
        session_id: Of the session that asks.
        password: Must be the user's.
        address: The client's.

    Raises:
        WrongPassword, RateLimited, Overloaded: of the password.
        InvalidToken: the session has ended.
        LastAdmin: no enabled administrator would be left.

    """
    allowed = permission.by_password(user, password, address, session_id)
    condition = next(allowed)
    with services.erasure.erasing(user["_id"], user["email"]):
        while not _delete(user["_id"], condition):
            condition = next(allowed)
        services.audit.record("account_deleted", user["_id"])
        with contextlib.suppress(DatabaseUnavailable):  # the counts end by themselves, within the hour
            services.throttles.clear_login(credentials.canonical(user))


def _delete(user_id: str, allowed: Document) -> bool:
    with services.administrators.removing(user_id) as condition:
        return services.users.delete_user(user_id, **allowed, **condition)
