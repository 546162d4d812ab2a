"""Log in with a passkey."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pixora import clock
from pixora.accounts import assurance
from pixora.accounts.documents import Passkey, User
from pixora.accounts.passkeys import MAX_CHALLENGES, ChallengeUse
from pixora.accounts.roles import is_disabled
from pixora.auth import grants
from pixora.auth.grants import Grant
from pixora.auth.login import new_session
from pixora.errors import EmailNotVerified, RateLimited
from pixora.passkeys import ceremonies, challenges
from pixora.passkeys.ceremonies import GET, Assertion, Refused, SignedData
from pixora.passkeys.challenges import LIFETIME, Purpose
from pixora.passkeys.errors import InvalidPasskey, UnknownPasskey
from pixora.passkeys.fields import encode
from pixora.services import services

log = logging.getLogger(__name__)

NOTICE_AGAIN = timedelta(days=1)
"""How long after an e-mail about a counter that went back the next one is sent."""


def options() -> dict[str, Any]:
    """Return the options for `navigator.credentials.get()`, with a new challenge. Nothing is stored."""
    settings = services.settings
    challenge = challenges.make(settings.secret_key, Purpose.LOGIN, None, clock.utcnow())
    return {
        "challenge": encode(challenge),
        "timeout": int(LIFETIME.total_seconds() * 1000),
        "rpId": settings.webauthn_rp_id,
        "allowCredentials": [],  # any passkey that the authenticator has for this service
        "userVerification": "required",
    }


def log_in(assertion: Assertion, user_agent: str) -> Grant:
    """Open a session for the owner of a passkey, at two factors: the device, and the PIN or biometrics that unlock it.

    Raises:
        InvalidPasskey: The credential is wrong, expired or used, or the user is disabled.
        UnknownPasskey: No user has the credential.
        EmailNotVerified: The credential is right, and `REQUIRE_VERIFIED_EMAIL` is on.
        RateLimited: The user has logged in too often within a few minutes.

    """
    try:
        use, signed = _read(assertion)
        while True:
            user = services.passkeys.find_by_credential(assertion.credential_id)
            if user is None:
                raise UnknownPasskey
            passkey = user["passkeys"][0]
            _verify(user, passkey, assertion, signed, use)
            if services.settings.require_verified_email and not user.get("email_verified"):
                raise EmailNotVerified
            authentication = assurance.by_passkey(use.now, is_synchronized=signed.backup_eligible)
            session = new_session(user_agent, None, authentication)
            changes = {"sign_count": signed.sign_count, "backed_up": signed.backed_up, "last_used_at": use.now}
            if services.passkeys.open_session(user["_id"], session, passkey, changes, use):
                services.audit.record("login", user["_id"], session_id=session["id"])
                return grants.issue(user, session, 0, None)
            # Since it was read, the challenge or the passkey was used, the passkey was removed, or the user was
            # disabled or deleted: check again.
    except Refused as refusal:
        log.info("Refused a passkey: %s.", refusal, extra={"event": "passkey_refused"})
        raise InvalidPasskey from refusal


def _read(assertion: Assertion) -> tuple[ChallengeUse, SignedData]:
    """Check everything that needs no database; raise `Refused`."""
    settings, now = services.settings, clock.utcnow()
    data = ceremonies.challenge_of(assertion.client_data, GET, settings.webauthn_origins)
    challenge = challenges.parse(settings.secret_key, Purpose.LOGIN, None, data, now)
    signed = ceremonies.read_assertion(assertion, str(settings.webauthn_rp_id))
    return ChallengeUse(challenge.nonce, challenge.expires_at, now), signed


def _verify(user: User, passkey: Passkey, assertion: Assertion, signed: SignedData, use: ChallengeUse) -> None:
    """Check the assertion against the stored passkey.

    Raises:
        Refused: The assertion is wrong or was used, or the user is disabled.
        RateLimited: The user has used too many challenges.

    """
    if is_disabled(user):
        raise Refused("the user is disabled")
    if assertion.user_handle != user["_id"].encode():
        raise Refused("the user handle is missing or of another user")
    ceremonies.verify_signature(passkey["public_key"], signed, assertion.signature)
    if use.was_used(user):
        raise Refused("the challenge was used")
    if signed.backup_eligible != passkey["backup_eligible"]:
        raise Refused("the passkey has changed whether it can be backed up")
    if max(signed.sign_count, passkey["sign_count"]) > 0 and signed.sign_count <= passkey["sign_count"]:
        _report_counter(user, passkey, use)
        raise Refused("the counter of the passkey went back")
    if retry_after := seconds_until_free(user, use.now):
        raise RateLimited(retry_after)


def seconds_until_free(user: Mapping[str, Any], now: datetime) -> int:
    """Return the seconds until a user can use another challenge; usually 0."""
    valid = [used["expires_at"] for used in user.get("passkey_challenges", []) if used["expires_at"] > now]
    return 0 if len(valid) < MAX_CHALLENGES else int((min(valid) - now).total_seconds()) + 1


def _report_counter(user: User, passkey: Passkey, use: ChallengeUse) -> None:
    """Tell the owner, once a day, that two authenticators may have the same passkey (WebAuthn, section 6.1.1).

    The signature was right, so this is no stranger. It uses up the challenge: the same assertion reports nothing again.
    """
    last = passkey.get("reported_at")
    is_due = last is None or use.now - last >= NOTICE_AGAIN
    messages = (
        [services.outbox.compose("passkey_counter_went_back", user["email"], use.now)]
        if is_due and user.get("email_verified")
        else []
    )
    if services.passkeys.report(user["_id"], passkey, use, *messages, reported_at=use.now if is_due else last):
        services.audit.record("passkey_counter_went_back", user["_id"], passkey_id=passkey["id"])
