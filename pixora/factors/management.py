"""Set up, list and remove one's own second factor.

Each write requires that the session that asks for it still exists. The guard checks that its login is recent.
"""

import secrets
from datetime import timedelta
from typing import NamedTuple

from pixora import clock, emails
from pixora.accounts import factors, updates
from pixora.accounts.documents import PendingTotp, User
from pixora.accounts.sessions import in_session, upgrade_session
from pixora.accounts.users import totp_of
from pixora.database.client import Document
from pixora.errors import InvalidToken
from pixora.factors import encryption, qr_code, recovery_codes, second_factor, totp
from pixora.factors.errors import FactorNotFound, NothingToConfirm, UnverifiedOwner, WrongCode
from pixora.mail.identity import service_name
from pixora.services import services
from pixora.web.middleware import caller

PENDING_LIFETIME = timedelta(minutes=10)


class NewSecret(NamedTuple):
    """A secret that waits for its first code, in the forms that authenticator apps read."""

    secret: str
    uri: str
    qr_svg: str
    expires_in: int


def overview(user_id: str, session_id: str) -> dict[str, Document | None]:
    """Return what a user has, without secrets; raise `InvalidToken` if the session has ended."""
    return second_factor.describe(services.factors.find(user_id, session_id))


def start_totp(user: User, session_id: str) -> NewSecret:
    """Store a new secret that waits for its first code, in place of an earlier one.

    Raises:
        UnverifiedOwner: The e-mail address is not verified, and e-mails can be sent.
        InvalidToken: The session has ended.

    """
    if services.settings.smtp_url and not user.get("email_verified"):
        raise UnverifiedOwner
    secret = totp.new_secret()
    encrypted = encryption.encrypt(services.settings.data_keys, user["_id"], secret)
    pending: PendingTotp = {
        "id": secrets.token_hex(12),
        "secret": encrypted.data,
        "key": encrypted.key,
        "expires_at": clock.utcnow() + PENDING_LIFETIME,
    }
    if not services.factors.set_pending(user["_id"], session_id, pending):
        raise InvalidToken
    uri = totp.enrolment_uri(secret, user["email"], service_name())
    return NewSecret(totp.base32(secret), uri, qr_code.svg(uri), int(PENDING_LIFETIME.total_seconds()))


def confirm_totp(user_id: str, session_id: str, code: str) -> list[str]:
    """Make the pending secret the second factor, and return new recovery codes.

    Ends all other sessions, which one factor has opened, and a pending change of e-mail. This session counts as one
    with two factors from now on.

    Raises:
        NothingToConfirm: No secret is pending, or it has expired or was replaced.
        WrongCode: The code is wrong; the secret stays pending.
        RateLimited: There have been too many changes.
        InvalidToken: The session has ended.
        Overloaded: The recovery codes would not be hashed in time.

    """
    with services.hashing_queue.slot():
        user = services.factors.find(user_id, session_id)
        now = clock.utcnow()
        pending = user.get("factors", {}).get("pending_totp")
        if pending is None or pending["expires_at"] <= now:
            raise NothingToConfirm
        try:
            secret = encryption.decrypt(services.settings.data_keys, user_id, pending["secret"])
        except encryption.UnreadableSecret as error:  # its key was removed within these minutes
            raise NothingToConfirm from error
        step = totp.step_of(secret, code, now)
        if step is None:
            raise WrongCode
        with services.throttles.change(emails.canonical(user["email"]), "second factor"):
            codes, hashes = _new_recovery_codes()
            condition, enrolling = factors.enrol(pending, step, hashes, now)
            stages = (
                enrolling,
                *updates.end_sessions(keep=session_id),
                upgrade_session(session_id),
                updates.queue_emails(*services.outbox.compose_notices("factor_added", user)),
            )
            if not services.users.update_user(user_id, *stages, **condition, **in_session(session_id)):
                services.sessions.require(user_id, session_id)
                raise NothingToConfirm
        services.audit.record("second_factor_added", user_id, session_id=session_id)
        return codes


def remove(user_id: str, session_id: str) -> None:
    """Remove the second factor with its recovery codes, end a pending change of e-mail, and send a notice.

    Raises:
        FactorNotFound: There is none.
        RateLimited: There have been too many changes.
        InvalidToken: The session has ended.

    """
    user = services.factors.find(user_id, session_id)
    factor = totp_of(user)
    if factor is None:
        raise FactorNotFound
    with services.throttles.change(emails.canonical(user["email"]), "second factor"):
        stages = (
            factors.REMOVE,
            updates.END_EMAIL_CHANGE,
            updates.queue_emails(*services.outbox.compose_notices("factor_removed", user)),
        )
        condition = factors.unchanged(factor) | in_session(session_id)
        if not services.users.update_user(user_id, *stages, **condition):
            services.sessions.require(user_id, session_id)
            raise FactorNotFound
    services.audit.record("second_factor_removed", user_id, session_id=session_id)


def renew_recovery_codes(user_id: str, session_id: str) -> list[str]:
    """Replace all recovery codes by a new set, end a pending change of e-mail, send a notice, and return the set.

    Raises:
        FactorNotFound: There is no second factor.
        RateLimited: There have been too many changes.
        InvalidToken: The session has ended.
        Overloaded: The codes would not be hashed in time.

    """
    with services.hashing_queue.slot():
        user = services.factors.find(user_id, session_id)
        factor = totp_of(user)
        if factor is None:
            raise FactorNotFound
        with services.throttles.change(emails.canonical(user["email"]), "second factor"):
            codes, hashes = _new_recovery_codes()
            stages = (
                factors.replace_recovery_codes(hashes, clock.utcnow()),
                updates.END_EMAIL_CHANGE,
                updates.queue_emails(*services.outbox.compose_notices("recovery_codes_renewed", user)),
            )
            condition = factors.unchanged(factor) | in_session(session_id)
            if not services.users.update_user(user_id, *stages, **condition):
                services.sessions.require(user_id, session_id)
                raise FactorNotFound
        services.audit.record("recovery_codes_renewed", user_id, session_id=session_id)
        return codes


def _new_recovery_codes() -> tuple[list[str], list[str]]:
    codes = recovery_codes.generate()
    rounds = services.settings.bcrypt_rounds
    return codes, services.hashing_queue.run(recovery_codes.hash_all, codes, rounds, is_wanted=caller())
