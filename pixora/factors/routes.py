"""The routes of the second factor: one's own factors, the second step of a login, and the reset by administrators."""

from flask import g, request

from pixora.accounts.documents import User
from pixora.admin.changes import Actor
from pixora.auth.grants import Grant
from pixora.auth.guards import public, require_admin, require_recent_login, require_user
from pixora.auth.schemas import TOKEN_EXAMPLE, TokenSchema
from pixora.database.client import Document
from pixora.errors import DatabaseUnavailable, Overloaded, RateLimited, UserNotFound
from pixora.factors import administration, login, management, schemas
from pixora.factors.errors import (
    FactorNotFound,
    InvalidCode,
    InvalidMfaToken,
    NothingToConfirm,
    OwnFactors,
    SecondFactorUnavailable,
    UnverifiedOwner,
    WrongCode,
)
from pixora.factors.management import NewSecret
from pixora.factors.second_factor import RECOVERY_CODE, TOTP, Answer
from pixora.web.blueprint import Blueprint, fails
from pixora.web.oauth_errors import ErrorFormat

DESCRIPTION = "Second factor: authenticator apps and recovery codes"

own = Blueprint("factors", __name__, url_prefix="/api/users/me/factors", tag="second_factor", description=DESCRIPTION)
mfa = Blueprint("mfa", __name__, url_prefix="/api/auth", tag="second_factor", description=DESCRIPTION)
admin = Blueprint("factors_admin", __name__, url_prefix="/api/admin/users", tag="admin")


@own.route("")
@require_user
@own.response(200, schemas.FactorsSchema, example=schemas.FACTORS_EXAMPLE)
def get_factors(user: User) -> dict[str, Document | None]:
    """Show one's own second factors.

    When the authenticator app was set up and last used, and how many recovery codes are left.
    """
    return management.overview(user["_id"], g.session_id)


@own.route("/totp", methods=["POST"])
@require_recent_login
@fails(UnverifiedOwner)
@own.response(201, schemas.NewSecretSchema, example=schemas.NEW_SECRET_EXAMPLE)
def start_totp(user: User) -> NewSecret:
    """Get a secret for an authenticator app.

    Show the QR code, or the secret to type. It becomes the second factor when its first code is confirmed, within ten
    minutes; a new secret replaces the previous one. A user with a second factor changes to another app this way: the
    old app works until the new one is confirmed.

    Needs a verified e-mail address, if the service sends e-mails.
    """
    return management.start_totp(user, g.session_id)


@own.route("/totp/confirm", methods=["POST"])
@require_recent_login
@fails(NothingToConfirm, WrongCode, RateLimited, Overloaded)
@own.response(200, schemas.RecoveryCodesSchema, example=schemas.RECOVERY_CODES_EXAMPLE)
@own.body(schemas.ConfirmTotpSchema, example=schemas.CODE_EXAMPLE)
def confirm_totp(user: User, body: dict[str, str]) -> dict[str, list[str]]:
    """Confirm an authenticator app with its first code, and get recovery codes.

    From now on a login needs a code. The recovery codes are shown only now; each replaces the app once. All other
    sessions end, and this one counts as one with two factors: refresh its tokens to see it in the access token. The
    owner gets an e-mail.
    """
    return {"recovery_codes": management.confirm_totp(user["_id"], g.session_id, body["code"])}


@own.route("/totp", methods=["DELETE"])
@require_recent_login
@fails(FactorNotFound, RateLimited)
@own.response(204)
def remove_totp(user: User) -> None:
    """Remove one's authenticator app and the recovery codes.

    A login then needs the password only. The owner gets an e-mail.
    """
    management.remove(user["_id"], g.session_id)


@own.route("/recovery-codes", methods=["POST"])
@require_recent_login
@fails(FactorNotFound, RateLimited, Overloaded)
@own.response(200, schemas.RecoveryCodesSchema, example=schemas.RECOVERY_CODES_EXAMPLE)
def renew_recovery_codes(user: User) -> dict[str, list[str]]:
    """Get new recovery codes.

    They are shown only now, and the earlier ones stop working. The owner gets an e-mail.
    """
    return {"recovery_codes": management.renew_recovery_codes(user["_id"], g.session_id)}


@mfa.route("/mfa", "logInWithCode", methods=["POST"], error_format=ErrorFormat.PROBLEM_FOR_OAUTH)
@fails(InvalidMfaToken, InvalidCode, RateLimited, Overloaded, SecondFactorUnavailable, DatabaseUnavailable)
@mfa.response(200, TokenSchema, example=TOKEN_EXAMPLE)
@mfa.body(schemas.MfaSchema, example=schemas.MFA_EXAMPLE, location="form")
@public
def log_in_with_code(form: dict[str, str]) -> Grant:
    """Complete a login with a code of the authenticator app, or with a recovery code.

    A login of a user with a second factor answers 403 `mfa_required` with an `mfa_token`, which is valid for five
    minutes. Each code works once, also within its 30 seconds. After too many wrong codes for an account, from a network
    or in all, further ones are refused for a while: 429.
    """
    answer = Answer(TOTP, form["code"]) if "code" in form else Answer(RECOVERY_CODE, form["recovery_code"])
    user_agent, client_id = request.headers.get("User-Agent", ""), form.get("client_id")
    return login.log_in(form["mfa_token"], answer, user_agent, request.remote_addr, client_id)


@admin.route("/<user_id>/factors", methods=["DELETE"])
@require_admin
@fails(UserNotFound, OwnFactors)
@admin.response(204)
def reset_factors(admin: User, user_id: str) -> None:
    """Remove all second factors and passkeys of a user who has lost them.

    If there was one, all sessions of the user end. The user gets an e-mail, and can log in with the password alone. A
    user without one gets in by a reset of the password. Administrators remove their own at `/api/users/me/factors` and
    `/api/users/me/passkeys`.
    """
    administration.reset_factors(user_id, by=Actor(admin["_id"], g.session_id))
