"""Authenticate again within a session, for routes that want a recent authentication (RFC 9470)."""

from pixora import clock
from pixora.accounts import assurance
from pixora.accounts.documents import User
from pixora.auth import grants, permission
from pixora.auth.grants import Grant
from pixora.errors import SecondFactorNeeded
from pixora.services import services


def reauthenticate(user: User, session_id: str, client_id: str | None, password: str, client_ip: str | None) -> Grant:
    """Check the password, note the time in the session, and return new tokens of the same session.

    The refresh token is that of the current generation: the client that holds it can go on with either. So a lost
    answer loses nothing, and other tabs stay logged in.

    Args:
        user: Whose password it must be.
        session_id: The requesting session.
        client_id: That of the access token.
        password: As typed.
        client_ip: The client's address.

    Raises:
        SecondFactorNeeded: The account has a second factor, so that a password alone is not enough.
        WrongPassword, RateLimited, Overloaded: From the check of the password.
        InvalidToken: The session has ended.

    """
    if assurance.best_level(user, with_passkeys=bool(services.settings.webauthn_origins)) == assurance.AAL2:
        raise SecondFactorNeeded
    with services.hashing_queue.slot():
        conditions = permission.by_password(user, password, client_ip, session_id)
        condition = next(conditions)
        authentication = assurance.by_password(clock.utcnow())
        while not (found := services.sessions.renew_authentication(user["_id"], session_id, authentication, condition)):
            condition = next(conditions)
        services.audit.record("reauthenticated", user["_id"], session_id=session_id)
        current_user, session = found
        return grants.confirm(current_user, session, session["generation"], client_id)
