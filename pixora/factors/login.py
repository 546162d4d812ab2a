"""The second step of a login: exchange an `mfa_token` and a code for a session."""

from pixora import clock
from pixora.accounts import assurance
from pixora.accounts.users import is_disabled, recovery_hashes_of, totp_of
from pixora.auth import grants
from pixora.auth.grants import Grant
from pixora.auth.login import new_session
from pixora.factors import second_factor
from pixora.factors.errors import InvalidMfaToken
from pixora.factors.mfa_token import MfaToken
from pixora.factors.second_factor import RECOVERY_CODE, Answer
from pixora.services import services


def log_in(
    token_text: str, answer: Answer, user_agent: str, client_ip: str | None, client_id: str | None = None
) -> Grant:
    """Open a session for the user whose right password the token proves.

    Raises:
        InvalidMfaToken: The token is not valid, or the password or the second factor was changed or removed since.
        InvalidCode, RateLimited, SecondFactorUnavailable, Overloaded: From the check of the code.

    """
    token = MfaToken.parse(token_text)
    if token is None:
        raise InvalidMfaToken
    with services.hashing_queue.slot():
        while True:
            user = services.users.find_credentials(token.user_id)
            if user is None or is_disabled(user) or "password" not in user:
                raise InvalidMfaToken
            if not token.is_valid(services.settings.secret_key, user["password"], clock.utcnow()):
                raise InvalidMfaToken
            factor = totp_of(user)
            if factor is None:
                raise InvalidMfaToken
            use = second_factor.use(user, factor, answer, client_ip)
            session = new_session(user_agent, client_id, assurance.by_password(clock.utcnow(), with_code=True))
            if services.sessions.open(user["_id"], session, user["password"], use):
                services.audit.record("login", user["_id"], session_id=session["id"])
                if answer.method == RECOVERY_CODE:
                    left = len(recovery_hashes_of(user)) - 1
                    services.audit.record("recovery_code_used", user["_id"], left=left)
                return grants.issue(user, session, 0, client_id)
            # The code, the factor or the password has just been used, removed or changed: read the user again.
