"""Invite users, send the link again, and withdraw invitations."""

from collections.abc import Mapping
from typing import Any

from pixora import clock, emails
from pixora.accounts import updates
from pixora.accounts.documents import ROLES, USER, User, new_user
from pixora.accounts.users import is_disabled, is_invited
from pixora.admin.changes import Actor, check_right
from pixora.admin.errors import NotInvited, UserDisabled
from pixora.admin.service import find
from pixora.errors import RateLimited
from pixora.services import services
from pixora.tokens.one_time import Purpose

INVITED: dict[str, Any] = {"invited_at": {"$exists": True}}
"""The condition of a query for users who have not chosen a password."""


def invite(fields: Mapping[str, Any], by: Actor) -> User:
    """Create a user without a password, and send the link to choose one; return the profile.

    The unique index decides who gets an address first; only then the e-mail is counted and queued.

    Raises:
        EmailTaken: Another user has this address.
        RateLimited: There have been too many e-mails to the address; nobody is created.

    """
    roles = [role for role in ROLES if role in fields.get("roles", [USER])]
    user = new_user(fields, None, now := clock.utcnow(), roles=roles)
    user["invited_at"] = now
    check_right(by)
    services.users.create_user(user)
    services.audit.record("user_created", user["_id"], by=by.id, roles=roles)
    try:
        _send(user, by)
    except RateLimited:
        services.directory.delete_any(user["_id"], **INVITED)
        services.audit.record("account_deleted", user["_id"], by=by.id)
        raise
    return user


def send_again(user_id: str, by: Actor) -> None:
    """Send the link again; earlier ones stop working.

    Raises:
        UserNotFound: There is no such user.
        NotInvited: The user has a password.
        UserDisabled: The link would not work.
        RateLimited: There have been too many e-mails to the address.

    """
    while True:
        user = _find_invited(user_id)
        if is_disabled(user):
            raise UserDisabled
        check_right(by)
        if _send(user, by):
            return


def withdraw(user_id: str, by: Actor) -> None:
    """Delete a user who has not accepted the invitation, so that the address is free again.

    Raises:
        UserNotFound: There is no such user.
        NotInvited: The user has a password.

    """
    user = _find_invited(user_id)
    with services.erasure.erasing(user_id, user["email"]):
        check_right(by)
        while not services.directory.delete_any(user_id, **INVITED):
            _find_invited(user_id)
        services.audit.record("account_deleted", user_id, by=by.id)


def _find_invited(user_id: str) -> User:
    user = find(user_id)
    if not is_invited(user):
        raise NotInvited
    return user


def _send(user: User, by: Actor) -> bool:
    """Queue a link; return False if the user, as read, has changed."""
    now = clock.utcnow()
    record, message = services.outbox.compose_link(Purpose.INVITATION, user["_id"], user["email"], now)
    stages = [
        updates.set_fields({"invited_at": now}, now),
        updates.store_token(Purpose.INVITATION, record),
        updates.queue_emails(message),
    ]
    with services.mail_throttles.for_account(emails.canonical(user["email"]), required=True):
        sent = services.users.update_user(user["_id"], *stages, email=user["email"], **INVITED)
    if sent:
        services.audit.record("invited", user["_id"], by=by.id)
    return sent
