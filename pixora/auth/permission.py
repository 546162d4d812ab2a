"""Repeat in a write the condition under which it was allowed.

Some time passes between the check of a password and the write it allows. Meanwhile the owner may reset the password and
end all sessions, to lock out somebody who knows it. Therefore the write requires, in the same atomic update, that the
checked hash is still stored and that the requesting session still exists.
"""

from collections.abc import Iterator

from pixora.accounts.documents import User
from pixora.accounts.sessions import in_session
from pixora.accounts.users import has_password
from pixora.auth import credentials
from pixora.database.client import Document
from pixora.errors import InvalidToken, ValidationFailed, WrongPassword
from pixora.services import services

MAX_CHECKS = 3
"""A login in between may replace the hash by another one of the same password, once; the others are a safety margin."""


def by_password(user: User, password: str, client_ip: str | None, session_id: str | None = None) -> Iterator[Document]:
    """Check the password and yield the condition of the write; check again each time the condition did not match.

    Raises:
        WrongPassword, RateLimited, Overloaded: From the check of the password.
        InvalidToken: The session has ended.

    """
    for _ in range(MAX_CHECKS):
        condition = {"password": credentials.check_password(user, password, client_ip)}
        yield condition if session_id is None else condition | in_session(session_id)
        if session_id is not None:
            services.sessions.require(user["_id"], session_id)
    raise WrongPassword if session_id is None else InvalidToken


def by_password_or_step_up(
    user: User, password: str | None, client_ip: str | None, session_id: str, *, field: str = "password"
) -> Iterator[Document]:
    """Yield the condition of a write that takes the password; of a user without one, it takes a step-up instead.

    The guard has asked for the step-up. As `by_password` does, this looks again each time the condition did not match.
    `field` is the request field of the password, for the error.

    Raises:
        ValidationFailed: The password is missing, and the user has one, or has set one meanwhile.
        WrongPassword, RateLimited, Overloaded: From the check of the password.
        InvalidToken: The session has ended.

    """
    if password is not None:
        yield from by_password(user, password, client_ip, session_id)
    for _ in range(MAX_CHECKS):
        if has_password(user):
            raise ValidationFailed({field: ["Missing data for required field."]})
        yield {"password": None} | in_session(session_id)
        # A password was set in this session meanwhile, or a condition of the write itself did not match: look again.
        user = services.users.find_in_session(user["_id"], session_id)
    raise InvalidToken
