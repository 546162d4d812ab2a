"""Verify that a user reads the mail of an e-mail address.

The link alone is not enough. Somebody may have signed up with the address of a stranger, who then opens the link:
the password has to come with it, and proves that the person who opens it is the one who signed up. Where there is no
password, a recent login with a passkey proves it.
"""

from contextlib import suppress

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.documents import User
from pixora.accounts.sessions import in_session
from pixora.auth import credentials, permission
from pixora.errors import InvalidCredentials, InvalidOneTimeToken, RateLimited
from pixora.services import services
from pixora.tokens.one_time import Purpose


def send(user: User, session_id: str, client_ip: str | None) -> None:
    """Send the link to a logged-in user, unless the e-mail is verified.

    Raises:
        InvalidToken: The session has ended.
        RateLimited: There have been too many e-mails to the address, or requests from the network.

    """
    if not user.get("email_verified") and not _send(user, client_ip, **in_session(session_id)):
        services.sessions.require(user["_id"], session_id)


def send_again(email: str, password: str, client_ip: str | None) -> bool:
    """Send the link to a user who cannot log in without it; return False if the e-mail is verified already.

    Raises:
        InvalidCredentials, RateLimited, Overloaded: From the check of the password.
        RateLimited: There have been too many e-mails, too.

    """
    with services.hashing_queue.slot():
        user = credentials.check_login(email, password, client_ip)
        if user.get("email_verified"):
            return False
        if not _send(user, client_ip, password=user["password"]):
            raise InvalidCredentials  # the password was changed since it was checked
        return True


def send_again_if_expired(user: User, client_ip: str | None) -> None:
    """Send a new link to a user whose right password was refused because the last link has expired.

    Over the limits for e-mails, nothing is sent.
    """
    found = services.one_time_tokens.find_user(user["_id"], Purpose.VERIFY_EMAIL)
    record = found.get("tokens", {}).get(Purpose.VERIFY_EMAIL) if found else None
    if record is None or record["expires_at"] <= clock.utcnow():
        with suppress(RateLimited):
            if not _send(user, client_ip, password=user["password"]):
                raise InvalidCredentials


def confirm(token: str, password: str, client_ip: str | None) -> None:
    """Verify the e-mail of the user the token was sent to.

    Raises:
        InvalidOneTimeToken: The token is not valid.
        WrongPassword, RateLimited, Overloaded: From the check of the password; the token stays valid.

    """
    with services.hashing_queue.slot():
        found = services.one_time_tokens.find_valid(Purpose.VERIFY_EMAIL, token)
        for condition in permission.by_password(found.user, password, client_ip):
            verified = updates.set_fields({"email_verified": True}, clock.utcnow())
            if services.one_time_tokens.redeem(found, verified, **condition):
                break
        services.audit.record("email_verified", found.user["_id"])


def confirm_without_password(token: str, user: User, session_id: str) -> None:
    """Verify the e-mail of a user without a password, who has just authenticated with a passkey instead.

    Raises:
        ValidationFailed: The user has a password, which is missing.
        InvalidOneTimeToken: The token is not valid, or was sent to another user.
        InvalidToken: The session has ended.

    """
    conditions = permission.by_password_or_step_up(user, None, None, session_id)
    condition = next(conditions)
    found = services.one_time_tokens.find_valid(Purpose.VERIFY_EMAIL, token)
    if found.user["_id"] != user["_id"]:
        raise InvalidOneTimeToken("used")
    verified = updates.set_fields({"email_verified": True}, clock.utcnow())
    while not services.one_time_tokens.redeem(found, verified, **condition):
        condition = next(conditions)
    services.audit.record("email_verified", user["_id"])


def _send(user: User, client_ip: str | None, **condition: object) -> bool:
    """Queue a new link; return False if the condition, which allowed it, no longer holds."""
    services.mail_throttles.count_request(client_ip)
    record, message = services.outbox.compose_link(Purpose.VERIFY_EMAIL, user["_id"], user["email"], clock.utcnow())
    with services.mail_throttles.for_account(emails.canonical(user["email"]), required=True):
        return services.one_time_tokens.issue(user, Purpose.VERIFY_EMAIL, record, message, **condition)
