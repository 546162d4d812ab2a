"""Create, change and delete users, verify their addresses and send them links, for administrators and commands."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pixora import clock, emails
from pixora.accounts import metadata, updates
from pixora.accounts.documents import ROLES, USER, User, new_user
from pixora.accounts.users import is_disabled, is_invited
from pixora.admin.changes import Actor, change, check_right, notice
from pixora.admin.errors import OwnAccount, UserDisabled
from pixora.admin.service import find
from pixora.auth import credentials
from pixora.database.client import Document
from pixora.errors import DatabaseUnavailable
from pixora.services import services
from pixora.throttling.limits import LOGIN
from pixora.tokens.one_time import Purpose
from pixora.web import etags

TOLD = ("first_name", "last_name", "contact", "birthday", "email")
"""The fields whose change a user is told about; not metadata, which belongs to the product."""


def create(fields: Mapping[str, Any], by: Actor) -> User:
    """Create a user with a password; return the profile. Unless the address is verified, a link to verify it is sent.

    Raises:
        EmailTaken: Another user has this address.
        ValidationFailed: The password is too easy to guess.
        Overloaded: The password would not be hashed in time.

    """
    with services.hashing_queue.slot():
        password_hash = credentials.hash_new("password", fields["password"], fields)
        roles = [role for role in ROLES if role in fields.get("roles", [USER])]
        is_verified = fields.get("email_verified", False)
        now = clock.utcnow()
        user = new_user(fields, password_hash, now, email_verified=is_verified, roles=roles)
        check_right(by)
        if is_verified:
            services.users.create_user(user)
        else:
            token, message = services.outbox.compose_link(Purpose.VERIFY_EMAIL, user["_id"], user["email"], now)
            with services.mail_throttles.for_account(user["email"]) as may_send:
                if may_send:
                    user["tokens"], user["letters"] = {Purpose.VERIFY_EMAIL.value: token}, [message]
                services.users.create_user(user)
        services.audit.record("user_created", user["_id"], by=by.id, roles=roles)
    return user


def edit(user_id: str, fields: Mapping[str, Any], by: Actor) -> User:
    """Change fields of a user and merge metadata, if `If-Match` of the request allows it; return the profile.

    A new address is not verified: a link, or the invitation, is sent to it. Links sent to the old one end, and the old
    one gets a notice.

    Raises:
        UserNotFound: There is no such user.
        OwnAccount: Administrators change their own address with their password.
        EmailTaken: Another user has the new address.
        PreconditionFailed: The profile has changed.
        ValidationFailed: Metadata would be too large.

    """
    user = find(user_id)
    if "email" in fields and by.id == user_id:
        raise OwnAccount
    while True:
        required = etags.required_state(user)
        changed = _edit(user, fields, by, metadata.merging(fields, clock.utcnow()), required)
        if changed is None:
            user = find(user_id)
            required = etags.required_state(user)
            changed = _edit(user, fields, by, metadata.merged(user, fields, clock.utcnow()), required)
        if changed is not None:
            return changed
        user = find(user_id)


def _edit(
    user: User, fields: Mapping[str, Any], by: Actor, merge: tuple[list[Document], Document], required: Document
) -> User | None:
    stages, condition = merge
    new_email = fields.get("email")
    told = [name for name in TOLD if name in fields and fields[name] != user.get(name)]
    details = {"fields": sorted(fields)}
    with notice(user, by, *told) as notices:
        if new_email is None or new_email == emails.canonical(user["email"]):
            return change("user_changed", user["_id"], by, [*stages, *notices], required | condition, **details)
        purpose = Purpose.INVITATION if is_invited(user) else Purpose.VERIFY_EMAIL
        token, message = services.outbox.compose_link(purpose, user["_id"], new_email, clock.utcnow())
        with services.mail_throttles.for_account(new_email) as may_send:
            stages = [
                *stages,
                *notices,
                updates.set_fields({"email_verified": False}, clock.utcnow()),
                updates.end_tokens(*Purpose),
                *([updates.store_token(purpose, token), updates.queue_emails(message)] if may_send else []),
            ]
            condition = {"email": user["email"]} | required | condition
            return change("user_changed", user["_id"], by, stages, condition, **details)


def delete(user_id: str, by: Actor) -> None:
    """Delete a user with everything stored about them.

    Raises:
        UserNotFound: There is no such user.
        OwnAccount: Administrators delete their own account with their password.
        LastAdmin: No enabled administrator would be left.

    """
    user = find(user_id)
    if by.id == user_id:
        raise OwnAccount
    with services.erasure.erasing(user_id, user["email"]):
        while not _delete(user_id, by):
            find(user_id)
        services.audit.record("account_deleted", user_id, by=by.id)
        with suppress(DatabaseUnavailable):  # the counters expire by themselves, within the hour
            services.throttles.forget(emails.canonical(user["email"]), *LOGIN)


def _delete(user_id: str, by: Actor) -> bool:
    with services.administrators.removing(user_id) as condition:
        check_right(by)
        return services.directory.delete_any(user_id, **condition)


def verify(user_id: str, by: Actor) -> bool:
    """Mark the address of a user as verified. Return False if it was already.

    Raises:
        UserNotFound: There is no such user.
        OwnAccount: Administrators verify their own address by the link.

    """
    if by.id == user_id:
        raise OwnAccount
    stages = [updates.set_fields({"email_verified": True}, clock.utcnow()), updates.end_tokens(Purpose.VERIFY_EMAIL)]
    if change("email_verified", user_id, by, stages, {"email_verified": {"$ne": True}}):
        return True
    find(user_id)
    return False


def send_password_reset(user_id: str, by: Actor) -> None:
    """Send a user a link to choose a new password.

    Raises:
        UserNotFound: There is no such user.
        UserDisabled: The link would not work.
        RateLimited: There have been too many e-mails to the address.

    """
    while True:
        user = find(user_id)
        if is_disabled(user):
            raise UserDisabled
        record, message = services.outbox.compose_link(Purpose.RESET_PASSWORD, user_id, user["email"], clock.utcnow())
        with services.mail_throttles.for_account(emails.canonical(user["email"]), required=True):
            check_right(by)
            if services.one_time_tokens.issue(user, Purpose.RESET_PASSWORD, record, message):
                break
    services.audit.record("password_reset_requested", user_id, by=by.id)
