"""Check an assertion: what an authenticator signs for a login, or to authenticate again within a session.

It is checked first and used later, by the update that it allows; in between, another request may use it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from pixora import clock
from pixora.accounts.documents import Passkey, User
from pixora.accounts.passkeys import MAX_CHALLENGES, ChallengeUse, PasskeyUse
from pixora.accounts.users import accepted_passkeys, is_disabled
from pixora.errors import RateLimited
from pixora.passkeys import ceremonies, challenges
from pixora.passkeys.ceremonies import GET
from pixora.passkeys.challenges import LIFETIME, Purpose
from pixora.passkeys.credentials import Assertion, Refused, SignedData
from pixora.passkeys.errors import InvalidPasskey, NoPasskey
from pixora.passkeys.fields import encode
from pixora.services import services

log = logging.getLogger(__name__)

COUNTER_NOTICE_INTERVAL = timedelta(days=1)
"""The shortest time between two e-mails about a counter that went back."""


def login_options() -> dict[str, Any]:
    """Return the options for `navigator.credentials.get()` by any passkey, with a new challenge. Nothing is stored."""
    return _options(Purpose.LOGIN, None, [])


def reauthentication_options(user_id: str, session_id: str) -> dict[str, Any]:
    """Return the options for `navigator.credentials.get()` by a passkey of this user, with a new challenge for them.

    Raises:
        NoPasskey: The user has none that is accepted.
        InvalidToken: The session has ended.

    """
    user = services.passkeys.find(user_id, session_id)
    if not (allowed := descriptors(user)):
        raise NoPasskey
    return _options(Purpose.REAUTHENTICATION, user_id, allowed)


def descriptors(user: User) -> list[dict[str, Any]]:
    """Return the accepted passkeys of a user as `PublicKeyCredentialDescriptorJSON`."""
    return [
        {"type": "public-key", "id": encode(passkey["credential_id"]), "transports": passkey["transports"]}
        for passkey in accepted_passkeys(user, services.settings)
    ]


@contextmanager
def logging_refusals() -> Iterator[None]:
    """Log why the `with` block has refused an assertion. Clients get `InvalidPasskey` whatever the reason."""
    try:
        yield
    except Refused as refusal:
        log.info("Refused a passkey: %s.", refusal, extra={"event": "passkey_refused"})
        raise InvalidPasskey from refusal


def read(assertion: Assertion, purpose: Purpose, user_id: str | None) -> tuple[ChallengeUse, SignedData]:
    """Check everything that needs no database; raise `Refused`."""
    settings, now = services.settings, clock.utcnow()
    data = ceremonies.challenge_of(assertion.client_data, GET, settings.webauthn_origins)
    challenge = challenges.parse(settings.secret_key, purpose, user_id, data, now)
    signed = ceremonies.read_assertion(assertion, str(settings.webauthn_rp_id))
    return challenge, signed


def verify(user: User, assertion: Assertion, signed: SignedData, challenge: ChallengeUse) -> PasskeyUse:
    """Check an assertion against the stored passkey, and return the use of it, for the update that it allows.

    The user is from `PasskeyStore.find_by_credential`; the signed data and the challenge are from `read`.

    Raises:
        Refused: The assertion is wrong or was used, or the user is disabled.
        RateLimited: The user has used too many challenges.

    """
    passkey = user["passkeys"][0]
    if not accepted_passkeys(user, services.settings):
        raise Refused("the passkey was made for another domain")
    if is_disabled(user):
        raise Refused("the user is disabled")
    if assertion.user_handle not in (None, user["_id"].encode()):
        raise Refused("the user handle is of another user")
    ceremonies.verify_signature(passkey["public_key"], signed, assertion.signature)
    if challenge.was_used(user):
        raise Refused("the challenge was used")
    if signed.backup_eligible != passkey["backup_eligible"]:
        raise Refused("the passkey has changed whether it can be backed up")
    # Before the counter, because a report uses the challenge too: otherwise the owner of a key could fill the document.
    if retry_after := seconds_until_challenge_allowed(user, challenge.now):
        raise RateLimited(retry_after)
    if max(signed.sign_count, passkey["sign_count"]) > 0 and signed.sign_count <= passkey["sign_count"]:
        _report_counter(user, passkey, challenge)
        raise Refused("the counter of the passkey went back")
    changes = {"sign_count": signed.sign_count, "backed_up": signed.backed_up, "last_used_at": challenge.now}
    return PasskeyUse(passkey, changes, challenge)


def seconds_until_challenge_allowed(user: Mapping[str, Any], now: datetime) -> int:
    """Return the seconds until a user can use another challenge; usually 0."""
    valid = [used["expires_at"] for used in user.get("passkey_challenges", []) if used["expires_at"] > now]
    return 0 if len(valid) < MAX_CHALLENGES else int((min(valid) - now).total_seconds()) + 1


def _options(purpose: Purpose, user_id: str | None, allowed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the options; without `allowed`, the user chooses among all passkeys for this service."""
    settings = services.settings
    return {
        "challenge": encode(challenges.make(settings.secret_key, purpose, user_id, clock.utcnow())),
        "timeout": int(LIFETIME.total_seconds() * 1000),
        "rpId": settings.webauthn_rp_id,
        "allowCredentials": allowed,
        "userVerification": "required",
    }


def _report_counter(user: User, passkey: Passkey, challenge: ChallengeUse) -> None:
    """Tell the owner, once a day, that two authenticators may have the same passkey (WebAuthn, section 6.1.1).

    The signature is right, so the sender holds the key. The challenge counts as used: a replay reports nothing again.
    """
    last, now = passkey.get("reported_at"), challenge.now
    is_due = last is None or now - last >= COUNTER_NOTICE_INTERVAL
    messages = services.outbox.compose_notices("passkey_counter_went_back", user) if is_due else []
    use = PasskeyUse(passkey, {"reported_at": now if is_due else last}, challenge)
    if services.passkeys.report(user["_id"], use, *messages):
        services.audit.record("passkey_counter_went_back", user["_id"], passkey_id=passkey["id"])
