"""What has allowed a request, as the condition of its write.

A password is checked some time before what it allows is written. In between, the owner may reset it and end every
session, to be rid of somebody who knows it. So the write requires, in the same atomic update, that the hash that was
checked is still stored and that the session that asks still exists.
"""

from collections.abc import Iterator

from pixora.accounts.sessions import in_session
from pixora.auth import credentials
from pixora.database.client import Document
from pixora.errors import InvalidToken, WrongPassword
from pixora.services import services

ATTEMPTS = 3
"""How often a write is tried: a login in between may replace the hash by another of the same password, once."""


def by_password(
    user: Document, password: str, address: str | None, session_id: str | None = None
) -> Iterator[Document]:
    """Check the password of a user; give the condition under which it allows a write, for `users.store`.

    Take the first condition before the write, and the next one whenever nothing matched the one before: each comes
    after another check, and there are no more than `ATTEMPTS`.

    Args:
        user: Whose password: `_id`, `email`.
        password: As typed.
        address: The client's.
        session_id: Of the session that asks, where one does.

    Raises:
        WrongPassword, RateLimited, Overloaded: of the password.
        InvalidToken: the session has ended.

    """
    for _ in range(ATTEMPTS):
        checked = {"password": credentials.check_own(user, password, address)}
        yield checked if session_id is None else checked | in_session(session_id)
        if session_id is not None:
            services.sessions.require(user["_id"], session_id)
    # Whatever goes on there, the user is not what was read at the beginning of the request.
    raise WrongPassword if session_id is None else InvalidToken
