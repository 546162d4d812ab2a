"""Change the e-mail of an account, once its owner has proved access to the new mailbox."""

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.documents import User
from pixora.accounts.users import is_disabled
from pixora.auth import permission
from pixora.errors import EmailTaken, ValidationFailed
from pixora.services import services
from pixora.tokens.one_time import Purpose


def request_change(user: User, session_id: str, password: str | None, new_email: str, client_ip: str | None) -> None:
    """Send a link to the new e-mail, and a notice to the old one.

    With `ENUMERATION_SAFE` the same is done and stored if another user has the new e-mail, but nobody gets the token:
    the message tells that user about the request, and is not sent if that user is disabled.

    Raises:
        ValidationFailed: The new e-mail is the old one; or the password is missing, and the user has one.
        WrongPassword, RateLimited, Overloaded: From the check of the password.
        InvalidToken: The session has ended.
        RateLimited: There have been too many e-mails, too.
        EmailTaken: Another user has the new e-mail; never with `ENUMERATION_SAFE`.

    """
    with services.hashing_queue.slot():
        old_email = emails.canonical(user["email"])
        if new_email == old_email:
            raise ValidationFailed({"email": ["This is your current e-mail address."]})
        conditions = permission.by_password_or_step_up(user, password, client_ip, session_id)
        condition = next(conditions)
        services.mail_throttles.count_request(client_ip)
        services.mail_throttles.count_email_change(old_email)
        owner = services.users.find_by_email(new_email)
        if owner and not services.settings.enumeration_safe:
            raise EmailTaken
        now = clock.utcnow()
        record, to_new = services.outbox.compose_link(Purpose.CHANGE_EMAIL, user["_id"], new_email, now, new_email)
        if owner:
            to_new = services.outbox.compose("address_taken", new_email, now)
            sending = services.mail_throttles.address_taken(new_email, user["_id"])
        else:
            is_required = not services.settings.enumeration_safe
            sending = services.mail_throttles.email_change(new_email, user["_id"], required=is_required)
        to_old = services.outbox.compose("email_changing", user["email"], now, **_new_email_for(user, new_email))
        with sending as may_send, services.mail_throttles.notice(user) as may_notify:
            messages = [to_new] if may_send and not (owner and is_disabled(owner)) else []
            messages += [to_old] if may_notify else []
            while not services.one_time_tokens.issue(user, Purpose.CHANGE_EMAIL, record, *messages, **condition):
                condition = next(conditions)
        services.audit.record("email_change_requested", user["_id"])


def confirm(token: str) -> None:
    """Replace the old e-mail by the new one, verified, and send a notice to the old one.

    All other tokens, which were sent to the old e-mail, end.

    Raises:
        InvalidOneTimeToken: The token is not valid.
        EmailTaken: Another user has taken the e-mail since. The token stays valid.

    """
    found = services.one_time_tokens.find_valid(Purpose.CHANGE_EMAIL, token)
    user, new_email = found.user, found.record["email"]
    now = clock.utcnow()
    notice = services.outbox.compose("email_changed", user["email"], now, **_new_email_for(user, new_email))
    with services.mail_throttles.notice(user) as may_notify:
        services.one_time_tokens.redeem(
            found,
            updates.set_fields({"email": new_email, "email_verified": True}, now),
            updates.end_tokens(*Purpose),
            updates.queue_emails(*[notice] if may_notify else []),
        )
    services.audit.record("email_changed", user["_id"])


def _new_email_for(user: User, new_email: str) -> dict[str, str]:
    """Return the new e-mail for a notice; none to an unverified e-mail, since a stranger may have chosen both."""
    return {"new_email": new_email} if user.get("email_verified") else {}
