"""Check the second factor of a user whose password was right.

Every login with a password of a user with a second factor passes here: `SessionStore.open` refuses one without its use.
A passkey is two factors by itself and needs no code. A code is checked first and used later, by the update that it
allows; in between, another request may use it.
"""

import logging
from typing import NamedTuple

from pixora import clock
from pixora.accounts import factors, updates
from pixora.accounts.documents import TotpFactor, User
from pixora.accounts.factors import NO_FACTOR, FactorUse
from pixora.accounts.users import recovery_hashes_of, totp_of
from pixora.database.client import Document
from pixora.errors import SecondFactorNeeded
from pixora.factors import encryption, mfa_token, recovery_codes, totp
from pixora.factors.errors import InvalidCode, MfaRequired, SecondFactorUnavailable, WrongCode
from pixora.services import services
from pixora.throttling.counters import Attempt
from pixora.web.middleware import caller

log = logging.getLogger(__name__)

FEW_LEFT = 3
"""When this many recovery codes or fewer are left, the e-mail about the use of one asks the owner to make new ones."""

TOTP, RECOVERY_CODE = "totp", "recovery_code"
"""The kinds of codes."""


class Answer(NamedTuple):
    """What a client sends as second factor: a code of the authenticator app, or a recovery code, normalized."""

    method: str
    code: str


def use_at_login(
    user: User, factor: TotpFactor, password_hash: str, code: str | None, client_ip: str | None
) -> FactorUse:
    """Return the use of a second factor for a login with a right password.

    `password_hash` is the one that is stored, to which the `mfa_token` is bound; `code` is of the authenticator app, if
    the client has sent it with the password.

    Raises:
        MfaRequired: The client has sent no code.
        InvalidCode, RateLimited, SecondFactorUnavailable: From the check of the code.

    """
    if code is None:
        services.audit.record("second_factor_required", user["_id"])
        secret_key, now = services.settings.secret_key, clock.utcnow()
        methods = [TOTP, RECOVERY_CODE] if recovery_hashes_of(user) else [TOTP]
        raise MfaRequired(
            mfa_token.make(secret_key, user["_id"], password_hash, now),
            int(mfa_token.LIFETIME.total_seconds()),
            methods,
        )
    return use(user, factor, Answer(TOTP, code), client_ip)


def use_in_session(user: User, session_id: str, code: str | None, client_ip: str | None) -> FactorUse:
    """Return the use of a second factor for a user who authenticates again; `NO_FACTOR` for a user without one.

    Raises:
        SecondFactorNeeded: The user has a second factor, and the client has sent no code.
        WrongCode, RateLimited, SecondFactorUnavailable: From the check of the code.
        InvalidToken: The session has ended.

    """
    if totp_of(user) is None:
        return NO_FACTOR
    if code is None:
        raise SecondFactorNeeded
    current = services.factors.find(user["_id"], session_id)  # with the secret, which a profile does not have
    factor = totp_of(current)
    if factor is None:
        return NO_FACTOR
    try:
        return use(current, factor, Answer(TOTP, code), client_ip)
    except InvalidCode as error:
        raise WrongCode from error


def use(user: User, factor: TotpFactor, answer: Answer, client_ip: str | None) -> FactorUse:
    """Return the use of the code that a user has sent, for the update that it allows.

    Raises:
        InvalidCode: The code is wrong, too old, or was used.
        RateLimited: There have been too many wrong codes; the code is not checked.
        SecondFactorUnavailable: The secret cannot be decrypted.
        Overloaded: The recovery code would not be hashed in time.

    """
    is_totp = answer.method == TOTP
    with services.second_factor_throttles.attempt(user["_id"], client_ip, can_be_guessed=is_totp) as attempt:
        find_use = _use_of_code if is_totp else _use_of_recovery_code
        found = find_use(user, factor, answer.code)
        attempt.is_correct = found is not None
    if found is None:
        _record_failure(user, answer, attempt)
        raise InvalidCode
    return found


def describe(user: User) -> dict[str, Document | None]:
    """Return the second factors in the whole document of a user, without secrets."""
    factor = totp_of(user)
    codes = user.get("factors", {}).get("recovery_codes")
    last_used = totp.time_of(factor["last_step"]) if factor and factor["last_step"] else None
    return {
        "totp": factor and {"created_at": factor["created_at"], "last_used_at": last_used},
        "recovery_codes": codes and {"created_at": codes["created_at"], "left": len(codes["hashes"])},
    }


def _use_of_code(user: User, factor: TotpFactor, code: str) -> FactorUse | None:
    try:
        secret = encryption.decrypt(services.settings.data_keys, user["_id"], factor["secret"])
    except encryption.UnreadableSecret as error:
        log.error(
            "A second factor cannot be checked: DATA_KEYS does not have the key %s.",
            factor["key"],
            extra={"event": "second_factor_unreadable", "user_id": user["_id"], "key": factor["key"]},
        )
        raise SecondFactorUnavailable from error
    step = totp.step_of(secret, code, clock.utcnow())
    return None if step is None or step <= factor["last_step"] else factors.use_code(factor, step)


def _use_of_recovery_code(user: User, factor: TotpFactor, code: str) -> FactorUse | None:
    hashes = recovery_hashes_of(user)
    used = services.hashing_queue.run(recovery_codes.find, code, hashes, is_wanted=caller())
    if used is None:
        return None
    left = len(hashes) - 1
    few = "yes" if left <= FEW_LEFT else ""
    emails = services.outbox.compose_notices("recovery_code_used", user, codes_left=str(left), few_codes_left=few)
    return factors.use_recovery_code(factor, hashes, used, *emails)


def _record_failure(user: User, answer: Answer, attempt: Attempt) -> None:
    """Record a wrong code and the limits it reached; after the third wrong code, send the owner an e-mail."""
    services.audit.record("second_factor_failed", user["_id"], method=answer.method)
    if attempt.limits_reached:
        services.audit.record("locked_out", user["_id"], limits=attempt.limits_reached)
    if services.second_factor_throttles.is_third_wrong_code(user["_id"]):
        notices = services.outbox.compose_notices("wrong_codes", user)
        services.users.update_user(user["_id"], updates.queue_emails(*notices))
