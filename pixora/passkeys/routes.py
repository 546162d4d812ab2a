"""The routes of passkeys: log in, and manage one's own."""

from typing import Any

from flask import g, request

from pixora.accounts.documents import Passkey, User
from pixora.auth.grants import Grant
from pixora.auth.guards import public, require_recent_login, require_user
from pixora.auth.schemas import PASSWORD_EXAMPLE, TOKEN_EXAMPLE, TokenSchema
from pixora.errors import DatabaseUnavailable, EmailNotVerified, Overloaded, RateLimited, WrongPassword
from pixora.passkeys import assertions, management, password_removal, schemas
from pixora.passkeys import login as passkey_login
from pixora.passkeys.errors import (
    InvalidNewPasskey,
    InvalidPasskey,
    LastCredential,
    NoPasskey,
    PasskeyExists,
    PasskeyNeeded,
    PasskeyNotFound,
    TooManyPasskeys,
    UnknownPasskey,
    UnverifiedOwner,
)
from pixora.users.schemas import RemovePasswordSchema
from pixora.web.blueprint import Blueprint, fails

login = Blueprint("passkey_login", __name__, url_prefix="/api/auth", description="Log in with a passkey")
own = Blueprint("passkeys", __name__, url_prefix="/api/users/me", description="One's own passkeys")


@login.route("/passkeys/options", methods=["POST"])
@login.response(200, schemas.RequestOptionsSchema, example=schemas.REQUEST_EXAMPLE)
@public
def request_passkey_login() -> dict[str, Any]:
    """Get the options for a login with a passkey.

    Pass them to `navigator.credentials.get()`, by `PublicKeyCredential.parseRequestOptionsFromJSON`; with conditional
    mediation, the browser offers the passkey in the form for the e-mail address. The challenge is valid for 5 minutes.
    Nothing is stored.
    """
    return assertions.login_options()


@login.route("/passkeys/login", methods=["POST"])
@fails(InvalidPasskey, UnknownPasskey, EmailNotVerified, RateLimited, DatabaseUnavailable)
@login.response(200, TokenSchema, example=TOKEN_EXAMPLE)
@login.body(schemas.PasskeyLoginSchema, example=schemas.LOGIN_EXAMPLE)
@public
def log_in_with_passkey(body: dict[str, Any]) -> Grant:
    """Log in with a passkey.

    `credential` is what `credential.toJSON()` returns. It is a login with two factors (`acr` is `aal2`), so users with
    an authenticator app are not asked for its code. Each challenge opens one session. After `unknown_passkey`, call
    `PublicKeyCredential.signalUnknownCredential`, and the authenticator stops offering this passkey.
    """
    return passkey_login.log_in(body["credential"], request.headers.get("User-Agent", ""))


@login.route("/reauthenticate/options", methods=["POST"])
@require_user
@fails(NoPasskey)
@login.response(200, schemas.RequestOptionsSchema, example=schemas.REAUTHENTICATION_EXAMPLE)
def request_passkey_reauthentication(user: User) -> dict[str, Any]:
    """Get the options to confirm with a passkey that it is you.

    Pass them to `navigator.credentials.get()`, by `PublicKeyCredential.parseRequestOptionsFromJSON`, and what
    `credential.toJSON()` returns to `/api/auth/reauthenticate`. The challenge is valid for 5 minutes, for this user and
    for nothing else. Nothing is stored.
    """
    return assertions.reauthentication_options(user["_id"], g.session_id)


@own.route("/passkeys/options", methods=["POST"])
@require_recent_login
@fails(UnverifiedOwner, TooManyPasskeys)
@own.response(200, schemas.CreationOptionsSchema, example=schemas.CREATION_EXAMPLE)
def request_passkey(user: User) -> dict[str, Any]:
    """Get the options for a new passkey.

    Pass them to `navigator.credentials.create()`, by `PublicKeyCredential.parseCreationOptionsFromJSON`. The challenge
    is valid for 5 minutes. Needs a verified e-mail address, if the service sends e-mails.
    """
    return management.options(user["_id"], g.session_id)


@own.route("/passkeys", methods=["POST"])
@require_recent_login
@fails(InvalidNewPasskey, UnverifiedOwner, PasskeyExists, TooManyPasskeys, RateLimited)
@own.response(201, schemas.PasskeySchema, example=schemas.PASSKEY_EXAMPLE)
@own.body(schemas.RegistrationSchema, example=schemas.REGISTRATION_EXAMPLE)
def add_passkey(user: User, body: dict[str, Any]) -> Passkey:
    """Add a passkey.

    `credential` is what `credential.toJSON()` returns. The passkey must verify the user, by PIN or biometrics. At most
    20 for each user. The owner gets an e-mail.
    """
    return management.add(user["_id"], g.session_id, body["credential"], body.get("name"))


@own.route("/passkeys")
@require_user
@own.response(200, schemas.PasskeySchema(many=True), example=[schemas.PASSKEY_EXAMPLE])
def list_passkeys(user: User) -> list[Passkey]:
    """List one's own passkeys, newest first.

    For `PublicKeyCredential.signalAllAcceptedCredentials`, with which devices drop those that were removed.
    """
    return management.passkeys_of(user["_id"], g.session_id)


@own.route("/passkeys/<passkey_id>", methods=["PATCH"])
@require_user
@fails(PasskeyNotFound)
@own.response(200, schemas.PasskeySchema, example=schemas.PASSKEY_EXAMPLE)
@own.body(schemas.RenamePasskeySchema, example=schemas.NAME_EXAMPLE)
def rename_passkey(user: User, body: dict[str, str], passkey_id: str) -> Passkey:
    """Rename a passkey.

    The name is for the owner only, to tell the devices apart.
    """
    return management.rename(user["_id"], g.session_id, passkey_id, body["name"])


@own.route("/passkeys/<passkey_id>", methods=["DELETE"])
@require_recent_login
@fails(PasskeyNotFound, LastCredential, RateLimited)
@own.response(204)
def remove_passkey(user: User, passkey_id: str) -> None:
    """Remove a passkey.

    Sessions that it has opened go on. The last passkey of a user without a password stays. The owner gets an e-mail.
    """
    management.remove(user["_id"], g.session_id, passkey_id)


@own.route("/password", methods=["DELETE"])
@require_recent_login
@fails(WrongPassword, PasskeyNeeded, RateLimited, Overloaded)
@own.response(204)
@own.body(RemovePasswordSchema, example=PASSWORD_EXAMPLE)
def remove_password(user: User, body: dict[str, str]) -> None:
    """Remove one's password, to log in with passkeys only.

    Needs a passkey, and the password besides the recent login. Users who have forgotten it reset it first. Ends every
    other session and a pending change of the e-mail address; a link to reset the password stays valid. The owner gets
    an e-mail. A login with the password then fails as for an unknown user; what takes the password elsewhere takes a
    recent login instead. A new password is set at `POST /api/users/me/password`, or by an e-mailed link. Without a
    password, nothing happens.
    """
    password_removal.remove_password(user, g.session_id, body["password"], request.remote_addr)
