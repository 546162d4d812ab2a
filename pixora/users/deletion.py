"""Delete one's account."""

from contextlib import suppress

from pixora import emails
from pixora.accounts.documents import User
from pixora.auth import permission
from pixora.database.client import Document
from pixora.errors import DatabaseUnavailable
from pixora.services import services
from pixora.throttling.limits import LOGIN


def delete_account(user: User, session_id: str, password: str | None, client_ip: str | None) -> None:
    """Delete a user with everything stored about them, and the counters of wrong passwords and codes.

    The counters of e-mails stay: the account can be made again, and the mailbox is the same.

    Raises:
        ValidationFailed: The password is missing, and the user has one.
        WrongPassword, RateLimited, Overloaded: From the check of the password.
        InvalidToken: The session has ended.
        LastAdmin: No enabled administrator would be left.

    """
    with services.hashing_queue.slot():
        conditions = permission.by_password_or_step_up(user, password, client_ip, session_id)
        condition = next(conditions)
        with services.erasure.erasing(user["_id"], user["email"]):
            while not _delete(user["_id"], condition):
                condition = next(conditions)
            services.audit.record("account_deleted", user["_id"])
            with suppress(DatabaseUnavailable):  # the counters expire by themselves, within a day
                services.throttles.forget(emails.canonical(user["email"]), *LOGIN)
                services.second_factor_throttles.clear(user["_id"])


def _delete(user_id: str, condition: Document) -> bool:
    with services.administrators.removing(user_id) as is_not_last:
        return services.users.delete_user(user_id, **condition, **is_not_last)
