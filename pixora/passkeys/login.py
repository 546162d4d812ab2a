"""Log in with a passkey."""

from pixora.accounts import assurance
from pixora.auth import grants
from pixora.auth.grants import Grant
from pixora.auth.login import new_session
from pixora.errors import EmailNotVerified
from pixora.passkeys import assertions
from pixora.passkeys.challenges import Purpose
from pixora.passkeys.credentials import Assertion, Refused
from pixora.passkeys.errors import UnknownPasskey
from pixora.services import services


def log_in(assertion: Assertion, user_agent: str) -> Grant:
    """Open a session for the owner of a passkey, at two factors: the device, and the PIN or biometrics that unlock it.

    Raises:
        InvalidPasskey: The credential is wrong, expired or used, or the user is disabled.
        UnknownPasskey: No user has the credential.
        EmailNotVerified: The credential is right, and `REQUIRE_VERIFIED_EMAIL` is on.
        RateLimited: The user has logged in too often within a few minutes.

    """
    with assertions.logging_refusals():
        challenge, signed = assertions.read(assertion, Purpose.LOGIN, None)
        if assertion.user_handle is None:  # only optional where the user is known beforehand
            raise Refused("the user handle is missing")
        while True:
            user = services.passkeys.find_by_credential(assertion.credential_id)
            if user is None:
                raise UnknownPasskey
            use = assertions.verify(user, assertion, signed, challenge)
            if services.settings.require_verified_email and not user.get("email_verified"):
                raise EmailNotVerified
            authentication = assurance.by_passkey(challenge.now, is_synchronized=signed.backup_eligible)
            session = new_session(user_agent, None, authentication)
            if services.passkeys.open_session(user["_id"], session, use):
                services.audit.record("login", user["_id"], session_id=session["id"])
                return grants.issue(user, session, 0, None)
            # Since it was read, the challenge or the passkey was used, the passkey was removed, or the user was
            # disabled or deleted: check again.
