"""Verifying an address: whoever has signed up with it reads its mail.

A link alone verifies nothing. Someone may have signed up with the address of a stranger, who then opens the letter: the
password has to come with it, and proves that whoever opens it is who has signed up.
"""

from contextlib import suppress
from datetime import datetime

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.outbox import compose
from pixora.accounts.sessions import in_session
from pixora.auth import credentials, permission
from pixora.auth.redemption import Redemption
from pixora.database.client import Document
from pixora.errors import InvalidCredentials, RateLimited
from pixora.services import services
from pixora.tokens.one_time import OneTimeToken, Purpose


def post(user_id: str, email: str, now: datetime) -> tuple[Document, Document]:
    """Return what to store of a new token, and the letter that brings it to a user."""
    token = OneTimeToken.make(user_id)
    return token.record(Purpose.VERIFY_EMAIL, now), compose("verify_email", email, now, secret=token.text)


def send(user: Document, session_id: str, client_ip: str | None) -> None:
    """Send a user the letter again, unless the address is verified.

    Args:
        user: Who asks.
        session_id: Of the session that asks.
        client_ip: The client's.

    Raises:
        InvalidToken: the session has ended.
        RateLimited: there have been too many letters.

    """
    if user.get("email_verified"):
        return
    services.mail_throttles.count_request(client_ip)
    posted = post(user["_id"], user["email"], clock.utcnow())
    with services.mail_throttles.own(credentials.canonical(user), required=True):
        if not services.one_time_tokens.issue(user, Purpose.VERIFY_EMAIL, *posted, **in_session(session_id)):
            services.sessions.require(user["_id"], session_id)


def send_again_if_expired(user: Document, client_ip: str | None) -> None:
    """Send a user whose last link has expired another one; for a login that is refused because of it.

    Where there have been too many e-mails, nothing is sent.

    Args:
        user: From `credentials.check`, whose password was right.
        client_ip: The client's.

    """
    found = services.one_time_tokens.find_user(user["_id"], Purpose.VERIFY_EMAIL) or {}
    record = found.get("tokens", {}).get(Purpose.VERIFY_EMAIL)
    if record is None or record["expires_at"] <= clock.utcnow():
        with suppress(RateLimited):
            _send_again(user, client_ip)


@credentials.seated
def send_again(email: str, password: str, client_ip: str | None) -> bool:
    """Send the link again to the user who has this e-mail address and password; return False if it is verified already.

    For users who cannot log in before they have verified it; `client_ip` is the client's.

    Raises:
        InvalidCredentials: whatever is wrong.
        RateLimited: there have been too many wrong guesses, or too many e-mails.
        Overloaded: the password would not be hashed in time.

    """
    user = credentials.check(email, password, client_ip)
    if user.get("email_verified"):
        return False
    _send_again(user, client_ip)
    return True


def _send_again(user: Document, client_ip: str | None) -> None:
    """Send another link to a user whose password was right."""
    services.mail_throttles.count_request(client_ip)
    posted = post(user["_id"], user["email"], clock.utcnow())
    with services.mail_throttles.own(credentials.canonical(user), required=True):
        if not services.one_time_tokens.issue(user, Purpose.VERIFY_EMAIL, *posted, password=user["password"]):
            raise InvalidCredentials  # it was changed meanwhile


@credentials.seated
def confirm(token: str, password: str, address: str | None) -> None:
    """Verify the address of the user whom the token was sent to; `address` is the client's.

    Raises:
        InvalidOneTimeToken: the token is not good.
        WrongPassword, RateLimited, Overloaded: of the password; the token stays good.

    """
    redemption = Redemption(Purpose.VERIFY_EMAIL, token)
    allowed = permission.by_password(redemption.user, password, address)
    while not redemption.spend_if(next(allowed), updates.set_fields({"email_verified": True}, clock.utcnow())):
        pass
    services.audit.record("email_verified", redemption.user["_id"])
