"""The documents that are stored, and how a new user begins.

Fields of `User` that are `NotRequired` are missing from documents of the FastAPI service, and from projections. Two
fields keep older names in the database: `letters` holds the e-mails that wait to be sent, `tokens` the one-time tokens.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NotRequired, TypedDict, cast

from bson import ObjectId

from pixora.tokens.one_time import OneTimeTokenRecord
from pixora.web import metadata

USER, ADMIN = "user", "admin"
ROLES = USER, ADMIN


class Session(TypedDict):
    """A session of a user. A session that was never refreshed has no `answered` and no `repeats`."""

    id: str  # 24 hexadecimal digits
    salt: bytes
    generation: int  # how often the session was refreshed
    created_at: datetime
    last_used_at: datetime  # when it was last refreshed
    user_agent: str
    auth_time: NotRequired[datetime]  # with acr and amr: see `pixora.accounts.assurance`
    acr: NotRequired[str]
    amr: NotRequired[list[str]]
    client_id: NotRequired[str]  # as the OAuth client called itself at the login
    answered: NotRequired["AnsweredGeneration"]
    repeats: NotRequired[int]  # how often the previous generation's token came again


class AnsweredGeneration(TypedDict):
    """The generation whose refresh token was last ready to be sent, and since when."""

    generation: int
    at: datetime


class Email(TypedDict):
    """An e-mail in the outbox."""

    id: str  # 24 hexadecimal digits
    template: str
    to: str
    token: NotRequired[bytes]  # a one-time token, encrypted
    context: dict[str, str]  # text for the template, nothing secret
    created_at: datetime
    due_at: datetime | None  # the next attempt, or the end of the claim; None once given up
    attempts: int
    claim: NotRequired[str]  # of the sender that is sending it
    failure: NotRequired[str]  # why the last attempt failed
    given_up_at: NotRequired[datetime]


class Passkey(TypedDict):
    """A passkey of a user."""

    id: str  # 24 hexadecimal digits
    credential_id: bytes
    public_key: bytes  # COSE, from `pixora.passkeys.public_keys`
    sign_count: int  # of the last login; 0 for authenticators that do not count
    name: str
    transports: list[str]  # how browsers reach the authenticator
    aaguid: str  # the model of the authenticator
    rp_id: str  # the `WEBAUTHN_RP_ID` it was made for
    backup_eligible: bool  # whether it can be on several devices
    backed_up: bool  # whether it was at the last login
    created_at: datetime
    last_used_at: datetime | None
    reported_at: NotRequired[datetime]  # when the owner was last told that its counter went back


class UsedChallenge(TypedDict):
    """A challenge of WebAuthn that was used."""

    nonce: bytes
    expires_at: datetime


class TotpFactor(TypedDict):
    """An authenticator app of a user."""

    id: str  # 24 hexadecimal digits, new for each enrolment
    secret: bytes  # encrypted, see `pixora.factors.encryption`
    key: str  # the name of the key it is encrypted under
    last_step: int  # the step of RFC 6238 of the last accepted code
    created_at: datetime


class PendingTotp(TypedDict):
    """A secret that becomes a factor with its first code."""

    id: str
    secret: bytes
    key: str
    expires_at: datetime


class RecoveryCodes(TypedDict):
    """The recovery codes that are left."""

    hashes: list[str]  # bcrypt, with one salt
    created_at: datetime


class Factors(TypedDict, total=False):
    """The second factors of a user. A user with `totp` has a second factor."""

    totp: TotpFactor
    pending_totp: PendingTotp
    recovery_codes: RecoveryCodes


class User(TypedDict):
    """A user."""

    _id: str  # the 24 hexadecimal digits of an ObjectId
    first_name: NotRequired[str]  # this and others may be missing where `REQUIRED_FIELDS` does not name them
    last_name: NotRequired[str]
    email: str  # canonical; documents of the FastAPI service may have it in mixed case
    password: NotRequired[str]  # a hash, see `pixora.passwords.verify`; missing with one of the next two
    invited_at: NotRequired[datetime]  # when the last invitation was sent, or the import, until a password is chosen
    password_removed_at: NotRequired[datetime]  # when the user removed it; missing again with a new one
    contact: NotRequired[str]  # E.164; free text in documents of the FastAPI service
    birthday: NotRequired[str]
    created_at: datetime
    updated_at: datetime
    email_verified: NotRequired[bool]
    roles: NotRequired[list[str]]
    disabled: NotRequired[bool]  # true or missing
    metadata: NotRequired[dict[str, Any]]  # the user's own, see `pixora.accounts.metadata`
    metadata_size: NotRequired[int]  # bytes at most
    app_metadata: NotRequired[dict[str, Any]]  # the administrators'
    app_metadata_size: NotRequired[int]
    locale: NotRequired[str | None]  # the language that the user has chosen (BCP 47)
    accept_language: NotRequired[list[str]]  # the languages of the browser at sign-up, where none was chosen
    leaving: NotRequired[datetime]  # see `pixora.accounts.administrators`
    passkeys: NotRequired[list[Passkey]]  # at least one, or missing
    passkey_challenges: NotRequired[list[UsedChallenge]]
    sessions: NotRequired[list[Session]]
    tokens: NotRequired[dict[str, OneTimeTokenRecord]]
    letters: NotRequired[list[Email]]
    factors: NotRequired[Factors]


class AuditEvent(TypedDict):
    """A row of the audit trail."""

    _id: NotRequired[Any]
    user_id: str | None  # None where there is no such account
    event: str
    at: datetime
    network: str | None  # of the client; None for commands
    request_id: str | None  # None for commands
    by: NotRequired[str]  # the administrator's id, or `COMMAND`; missing for what users do themselves
    details: dict[str, Any]


def new_id() -> str:
    """Return the id of a new user."""
    return str(ObjectId())


def new_user(
    profile: Mapping[str, Any],
    password_hash: str | None,
    now: datetime,
    *,
    user_id: str | None = None,
    email_verified: bool = False,
    roles: Sequence[str] = (USER,),
) -> User:
    """Return the document of a new user.

    `profile` has `email` in canonical form; names, `contact`, `birthday`, `locale`, `metadata` and `app_metadata` may
    be missing or None; other fields are ignored. Without a hash the user has yet to choose a password.
    """
    fields: dict[str, Any] = {
        "_id": user_id or new_id(),
        "first_name": profile.get("first_name"),
        "last_name": profile.get("last_name"),
        "email": profile["email"],
        "password": password_hash,
        "contact": profile.get("contact"),
        "birthday": profile.get("birthday"),
        "locale": profile.get("locale"),
        "created_at": now,
        "updated_at": now,
        "email_verified": email_verified,
        "roles": list(roles),
    }
    for name in metadata.NAMES:
        if profile.get(name) is not None:
            fields |= metadata.sized(name, metadata.merge({}, profile[name]))
    return cast(User, {name: value for name, value in fields.items() if value is not None})
