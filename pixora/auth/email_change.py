"""Changing the address of an account: it takes effect when the new one has proved to be read by the same person."""

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.outbox import compose
from pixora.accounts.roles import is_disabled
from pixora.auth import credentials, permission
from pixora.auth.redemption import Redemption
from pixora.database.client import Document
from pixora.errors import EmailTaken, ValidationFailed
from pixora.services import services
from pixora.tokens.one_time import OneTimeToken, Purpose


@credentials.seated
def request(user: Document, session_id: str, password: str, new_email: str, address: str | None) -> None:
    """Send a letter to the new address, and tell the old one.

    With `ENUMERATION_SAFE` the same is done, and kept in the same document, when the new address is another user's:
    but then the letter tells that user so, or is not written when that user is disabled, and nobody gets the token.

    Args:
        user: Who asks: `_id`, `email`.
        session_id: Of the session that asks.
        password: Must be the user's.
        new_email: In canonical form.
        address: The client's.

    Raises:
        ValidationFailed: the new address is the old one; told under `email`.
        WrongPassword, RateLimited, Overloaded: of the password.
        InvalidToken: the session has ended.
        RateLimited: there have been too many letters, too.
        EmailTaken: there is a user with the new address; not with `ENUMERATION_SAFE`.

    """
    old = credentials.canonical(user)
    if new_email == old:
        raise ValidationFailed({"email": ["Is the address of this account already."]})
    allowed = permission.by_password(user, password, address, session_id)
    condition = next(allowed)
    services.mail_throttles.count_request(address)
    services.mail_throttles.count_change(old)
    owner = services.users.find_by_email(new_email)
    tells_nothing = services.settings.enumeration_safe
    if owner and not tells_nothing:
        raise EmailTaken
    now = clock.utcnow()
    token = OneTimeToken.make(user["_id"])
    to_new = (
        compose("address_taken", new_email, now)
        if owner
        else compose("change_email", new_email, now, secret=token.text)
    )
    to_old = compose("email_changing", user["email"], now, **_details(user, new_email))
    record = token.record(Purpose.CHANGE_EMAIL, now, email=new_email)
    sending = (
        services.mail_throttles.taken(new_email)
        if owner
        else services.mail_throttles.own(new_email, required=not tells_nothing)
    )
    with sending as may_go, services.mail_throttles.notice(user) as may_warn:
        to_whom = [to_new] if may_go and not (owner and is_disabled(owner)) else []
        posted = [*to_whom, to_old] if may_warn else to_whom
        while not services.one_time_tokens.issue(user, Purpose.CHANGE_EMAIL, record, *posted, **condition):
            condition = next(allowed)
    services.audit.record("email_change_requested", user["_id"])


def confirm(token: str) -> None:
    """Put the new address in the place of the old one, verified, and tell the old one.

    What else was sent to the old address is worthless then.

    Raises:
        InvalidOneTimeToken: the token is not good.
        EmailTaken: another user has the address by now. The token stays good.

    """
    redemption = Redemption(Purpose.CHANGE_EMAIL, token)
    new_email = redemption.record["email"]
    now = clock.utcnow()
    user = redemption.user
    notice = compose("email_changed", user["email"], now, **_details(user, new_email))
    with services.mail_throttles.notice(user) as may_tell:
        redemption.redeem(
            updates.set_fields({"email": new_email, "email_verified": True}, now),
            updates.end_tokens(*Purpose),
            updates.queue_emails(*[notice] if may_tell else []),
        )
    services.audit.record("email_changed", user["_id"])


def _details(user: Document, new_email: str) -> dict[str, str]:
    """Return what a notice to the old address tells of the new one: nothing, where a stranger may have chosen both."""
    return {"new_email": new_email} if user.get("email_verified") else {}
