"""Authenticate again within a session, for routes that want a recent authentication (RFC 9470)."""

from pixora import clock
from pixora.accounts import assurance
from pixora.accounts.documents import Session, User
from pixora.accounts.factors import NO_FACTOR
from pixora.accounts.users import has_password, totp_of
from pixora.auth import grants, permission
from pixora.auth.grants import Grant
from pixora.errors import InvalidToken, SecondFactorNeeded
from pixora.factors.second_factor import use_in_session
from pixora.passkeys.challenges import Purpose
from pixora.passkeys.credentials import Assertion, Refused
from pixora.passkeys.errors import UnknownPasskey
from pixora.services import services


def by_password(
    user: User,
    session_id: str,
    client_id: str | None,
    password: str,
    client_ip: str | None,
    *,
    code: str | None = None,
) -> Grant:
    """Check the password, note the time in the session, and return new tokens of the same session.

    The refresh token is that of the current generation: the client that holds it can go on with either. So a lost
    answer loses nothing, and other tabs stay logged in.

    Raises:
        SecondFactorNeeded: The account has a second factor, so that a password alone is not enough.
        WrongCode, SecondFactorUnavailable: From the check of the code.
        WrongPassword, RateLimited, Overloaded: From the check of the password. Every password of a user without one is
            wrong.
        InvalidToken: The session has ended.

    """
    user_id = user["_id"]
    is_aal2 = assurance.best_level(user, services.settings) == assurance.AAL2
    if is_aal2 and has_password(user) and (code is None or totp_of(user) is None):
        raise SecondFactorNeeded  # before the password is hashed
    with services.hashing_queue.slot():
        for condition in permission.by_password(user, password, client_ip, session_id):
            use = use_in_session(user, session_id, code, client_ip)
            authentication = assurance.by_password(clock.utcnow(), with_code=use is not NO_FACTOR)
            found = services.sessions.renew_authentication(
                user_id, session_id, authentication, condition | use.condition, use.stages
            )
            if found:
                return _confirm(*found, client_id)
            # The password was rehashed, or the second factor was added, removed or used: check again.
            user = services.users.find_in_session(user_id, session_id)
        raise InvalidToken


def by_passkey(user_id: str, session_id: str, client_id: str | None, assertion: Assertion) -> Grant:
    """Check what a passkey of the user has signed, and do the same. The session has two factors then.

    Raises:
        InvalidPasskey: The credential is wrong, expired, used, or another user's.
        UnknownPasskey: No user has the credential.
        RateLimited: The user has used too many challenges within a few minutes.
        InvalidToken: The session has ended.

    """
    from pixora.passkeys import assertions  # noqa: PLC0415  # the routes of passkeys have imported it; others need no fido2

    with assertions.logging_refusals():
        challenge, signed = assertions.read(assertion, Purpose.REAUTHENTICATION, user_id)
        while True:
            owner = services.passkeys.find_by_credential(assertion.credential_id)
            if owner is None:
                raise UnknownPasskey
            if owner["_id"] != user_id:
                raise Refused("the passkey is of another user")
            use = assertions.verify(owner, assertion, signed, challenge)
            authentication = assurance.by_passkey(challenge.now, is_synchronized=signed.backup_eligible)
            found = services.sessions.renew_authentication(
                user_id, session_id, authentication, use.condition, use.stages
            )
            if found:
                return _confirm(*found, client_id)
            services.sessions.require(user_id, session_id)
            # The challenge or the passkey was used, or the passkey was removed: check again.


def _confirm(user: User, session: Session, client_id: str | None) -> Grant:
    services.audit.record("reauthenticated", user["_id"], session_id=session["id"])
    return grants.confirm(user, session, session["generation"], client_id)
