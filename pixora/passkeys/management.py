"""Add, list, rename and remove one's own passkeys.

Each write requires that the session that asks for it still exists. That its login is recent is for the guard.
"""

import logging
import secrets
from typing import Any

from pixora import clock, emails
from pixora.accounts.documents import Passkey, User
from pixora.accounts.passkeys import MAX_PASSKEYS, CredentialTaken
from pixora.errors import RateLimited
from pixora.mail.identity import service_name
from pixora.passkeys import ceremonies, challenges, public_keys
from pixora.passkeys.assertions import descriptors, seconds_until_challenge_allowed
from pixora.passkeys.ceremonies import CREATE
from pixora.passkeys.challenges import LIFETIME, Purpose
from pixora.passkeys.credentials import Attestation, Refused
from pixora.passkeys.errors import (
    InvalidNewPasskey,
    LastCredential,
    PasskeyExists,
    PasskeyNotFound,
    TooManyPasskeys,
    UnverifiedOwner,
)
from pixora.passkeys.fields import encode
from pixora.services import services

log = logging.getLogger(__name__)

DEFAULT_NAME = "Passkey"


def options(user_id: str, session_id: str) -> dict[str, Any]:
    """Return the options for `navigator.credentials.create()`, with a new challenge. Nothing is stored.

    Raises:
        UnverifiedOwner, TooManyPasskeys, InvalidToken.

    """
    user = _find_for_registration(user_id, session_id)
    settings = services.settings
    names = " ".join(filter(None, (user.get("first_name"), user.get("last_name"))))
    return {
        "rp": {"id": settings.webauthn_rp_id, "name": service_name()},
        "user": {"id": encode(user_id.encode()), "name": user["email"], "displayName": names or user["email"]},
        "challenge": encode(challenges.make(settings.secret_key, Purpose.REGISTRATION, user_id, clock.utcnow())),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in public_keys.ALGORITHMS],
        "timeout": int(LIFETIME.total_seconds() * 1000),
        "excludeCredentials": descriptors(user),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
        "extensions": {"credProps": True},
    }


def add(user_id: str, session_id: str, attestation: Attestation, name: str | None) -> Passkey:
    """Store a new passkey, send a notice, and return the passkey.

    Raises:
        InvalidNewPasskey: The credential is wrong, or its challenge is expired or used.
        PasskeyExists: This user or another one has it.
        UnverifiedOwner, TooManyPasskeys, InvalidToken.
        RateLimited: There have been too many changes.

    """
    settings, now = services.settings, clock.utcnow()
    try:
        data = ceremonies.challenge_of(attestation.client_data, CREATE, settings.webauthn_origins)
        use = challenges.parse(settings.secret_key, Purpose.REGISTRATION, user_id, data, now)
        credential = ceremonies.verify_registration(attestation, str(settings.webauthn_rp_id))
    except Refused as refusal:
        log.info("Refused a new passkey: %s.", refusal, extra={"event": "passkey_refused"})
        raise InvalidNewPasskey from refusal
    user = _find_for_registration(user_id, session_id)
    if retry_after := seconds_until_challenge_allowed(user, now):
        raise RateLimited(retry_after)
    passkey: Passkey = {
        "id": secrets.token_hex(12),
        "credential_id": attestation.credential_id,
        "public_key": credential.public_key,
        "sign_count": credential.sign_count,
        "name": name or DEFAULT_NAME,
        "transports": attestation.transports,
        "aaguid": credential.aaguid,
        "rp_id": str(settings.webauthn_rp_id),
        "backup_eligible": credential.backup_eligible,
        "backed_up": credential.backed_up,
        "created_at": now,
        "last_used_at": None,
    }
    with services.throttles.change(emails.canonical(user["email"]), "passkey"):
        messages = services.outbox.compose_notices("passkey_added", user)
        try:
            is_added = services.passkeys.add(user_id, session_id, passkey, use, *messages)
        except CredentialTaken as error:
            raise PasskeyExists from error
        if not is_added:
            current = _find_for_registration(user_id, session_id)
            if any(one["credential_id"] == attestation.credential_id for one in current.get("passkeys", [])):
                raise PasskeyExists
            if retry_after := seconds_until_challenge_allowed(current, now):
                raise RateLimited(retry_after)
            raise InvalidNewPasskey  # the challenge was used
    services.audit.record("passkey_added", user_id, session_id=session_id, passkey_id=passkey["id"])
    return passkey


def passkeys_of(user_id: str, session_id: str) -> list[Passkey]:
    """Return the passkeys of a user, the newest first; raise `InvalidToken` if the session has ended."""
    return list(reversed(services.passkeys.find(user_id, session_id).get("passkeys", [])))


def rename(user_id: str, session_id: str, passkey_id: str, name: str) -> Passkey:
    """Change the name of a passkey and return it.

    Raises:
        PasskeyNotFound: The user has no such passkey.
        InvalidToken: The session has ended.

    """
    passkey = services.passkeys.rename(user_id, session_id, passkey_id, name)
    if passkey is None:
        services.sessions.require(user_id, session_id)
        raise PasskeyNotFound
    return passkey


def remove(user_id: str, session_id: str, passkey_id: str) -> None:
    """Remove a passkey and send a notice. Sessions that it has opened go on.

    Raises:
        PasskeyNotFound: The user has no such passkey.
        LastCredential: The user has no other passkey and no password.
        RateLimited: There have been too many changes.
        InvalidToken: The session has ended.

    """
    user = services.passkeys.find(user_id, session_id)
    if not any(passkey["id"] == passkey_id for passkey in user.get("passkeys", [])):
        raise PasskeyNotFound
    with services.throttles.change(emails.canonical(user["email"]), "passkey"):
        messages = services.outbox.compose_notices("passkey_removed", user)
        rp_id = str(services.settings.webauthn_rp_id)
        if not services.passkeys.remove(user_id, session_id, passkey_id, rp_id, *messages):
            current = services.passkeys.find(user_id, session_id)
            is_there = any(passkey["id"] == passkey_id for passkey in current.get("passkeys", []))
            raise LastCredential if is_there else PasskeyNotFound
    services.audit.record("passkey_removed", user_id, session_id=session_id, passkey_id=passkey_id)


def _find_for_registration(user_id: str, session_id: str) -> User:
    user = services.passkeys.find(user_id, session_id)
    if services.settings.smtp_url and not user.get("email_verified"):
        raise UnverifiedOwner
    if len(user.get("passkeys", [])) >= MAX_PASSKEYS:
        raise TooManyPasskeys
    return user
