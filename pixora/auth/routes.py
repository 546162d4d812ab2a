"""`/api/auth`: sign-up, login, refresh, logout, and the routes that take the tokens of e-mailed links."""

from typing import Any

from flask import Response, g, jsonify, request

from pixora.accounts.documents import User
from pixora.auth import email_change, invitations, reauthentication, recovery, schemas, verification
from pixora.auth.grants import Grant
from pixora.auth.guards import public, public_or_without_password, require_user, user_without_password
from pixora.auth.login import log_in
from pixora.auth.refresh import refresh
from pixora.auth.signup import sign_up
from pixora.errors import (
    DatabaseUnavailable,
    EmailNotVerified,
    EmailTaken,
    InvalidCredentials,
    InvalidGrant,
    InvalidOneTimeToken,
    Overloaded,
    RateLimited,
    StepUpNeeded,
    ValidationFailed,
    WrongPassword,
)
from pixora.factors.errors import MFA_REQUIRED, InvalidCode, SecondFactorUnavailable, WrongCode
from pixora.passkeys.errors import InvalidPasskey, UnknownPasskey
from pixora.services import services
from pixora.web.blueprint import Blueprint, fails
from pixora.web.oauth_errors import ErrorFormat

blueprint = Blueprint("auth", __name__, url_prefix="/api/auth", description="Sign up, log in, stay logged in")


@blueprint.route("/signup", "signUp", methods=["POST"])
@fails(EmailTaken, RateLimited, Overloaded, DatabaseUnavailable)
@blueprint.alt_response(
    202,
    schema=schemas.StatusMessageSchema,
    example=schemas.SIGNUP_MESSAGE,
    description="With `ENUMERATION_SAFE`, always",
    success=True,
)
@blueprint.response(
    201,
    schemas.CreatedSchema,
    example=schemas.CREATED_EXAMPLE,
    headers={"Location": {"schema": {"type": "string"}, "required": True, "description": "The URL of the profile."}},
)
@blueprint.body(schemas.SignupSchema, example=schemas.SIGNUP_EXAMPLE)
@public
def signup(account: dict[str, str]) -> tuple[dict[str, str], int, dict[str, str]] | Response:
    """Create an account.

    Upper and lower case make no difference in e-mail addresses. The user gets an e-mail with a link that verifies the
    address.

    If the service hides who has an account (`ENUMERATION_SAFE`), the answer is always 202, and the owner of an address
    that is already taken gets an e-mail instead.
    """
    accept_language = request.headers.get("Accept-Language", "")
    user_id = sign_up(account, account.pop("password"), request.remote_addr, accept_language)
    if services.settings.enumeration_safe:
        response = jsonify(schemas.SIGNUP_MESSAGE)
        response.status_code = 202
        return response
    return {"message": "User created successfully", "id": user_id}, 201, {"Location": f"/api/users/{user_id}"}


@blueprint.route("/login", "logIn", methods=["POST"], error_format=ErrorFormat.PROBLEM_FOR_OAUTH)
@fails(InvalidCredentials, InvalidCode, EmailNotVerified, MFA_REQUIRED)
@fails(RateLimited, Overloaded, SecondFactorUnavailable, DatabaseUnavailable)
@blueprint.response(200, schemas.TokenSchema, example=schemas.TOKEN_EXAMPLE)
@blueprint.body(schemas.LoginSchema, example=schemas.LOGIN_EXAMPLE, location="form")
@public
def login(form: dict[str, str]) -> Grant:
    """Log in with e-mail and password.

    The form is that of the OAuth 2.0 password grant; OAuth libraries use `/api/auth/token`. The answer does not say
    whether the e-mail or the password is wrong.

    With `REQUIRE_VERIFIED_EMAIL`, the right password gets 403 `email_not_verified` until the e-mail is verified. If the
    last link has expired, this request sends a new one.

    A user with a second factor gets 403 `mfa_required` with an `mfa_token`, for `POST /api/auth/mfa`. A client that
    already has the code of the authenticator app sends it as `otp`.

    After too many wrong passwords for an account, or from a network, all passwords are refused for a while: 429.
    """
    user_agent = request.headers.get("User-Agent", "")
    client_id, code = form.get("client_id"), form.get("otp")
    return log_in(form["username"], form["password"], user_agent, request.remote_addr, client_id, code=code)


@blueprint.route("/refresh", methods=["POST"], error_format=ErrorFormat.PROBLEM_FOR_OAUTH)
@fails(InvalidGrant, DatabaseUnavailable, Overloaded)
@blueprint.response(200, schemas.TokenSchema, example=schemas.TOKEN_EXAMPLE)
@blueprint.body(schemas.RefreshSchema, example=schemas.REFRESH_EXAMPLE, location="form")
@public
def refresh_tokens(form: dict[str, str]) -> Grant:
    """Exchange a refresh token for new tokens.

    A refresh token can be used once. If you lose the response, send the same token again within seconds and you get
    the same new token again. A used token that comes later counts as stolen, and ends the session. After a 503, just
    repeat the request: the token does not count as used.
    """
    return refresh(form["refresh_token"], form.get("client_id"))


@blueprint.route("/reauthenticate", "reauthenticate", methods=["POST"])
@require_user
@fails(WrongPassword, WrongCode, StepUpNeeded, InvalidPasskey, UnknownPasskey)
@fails(RateLimited, Overloaded, SecondFactorUnavailable)
@blueprint.response(200, schemas.TokenSchema, example=schemas.TOKEN_EXAMPLE)
@blueprint.body(schemas.ReauthenticateSchema, example=schemas.PASSWORD_EXAMPLE)
def reauthenticate_user(user: User, body: dict[str, Any]) -> Grant:
    """Confirm that it is you, within a session.

    Routes that change what one can log in with want an authentication of the last 5 minutes, and answer 401
    `insufficient_user_authentication` otherwise (RFC 9470). Send the password here, with the code of the
    authenticator app if you have one, and repeat the request with the new access token: its `auth_time` is now. The
    tokens are of the same session; other tokens of it stay valid.

    Where passkeys are turned on, `credential` takes the place of password and code: what `credential.toJSON()` returns
    for the options of `/api/auth/reauthenticate/options`. It works once.
    """
    client_id = g.claims.get("client_id")
    if "credential" in body:
        return reauthentication.by_passkey(user["_id"], g.session_id, client_id, body["credential"])
    password, code = body["password"], body.get("code")
    return reauthentication.by_password(user, g.session_id, client_id, password, request.remote_addr, code=code)


@blueprint.route("/logout", "logOut", methods=["POST"])
@require_user
@blueprint.response(204)
def logout(user: User) -> None:
    """Log out: end the session of the access token.

    Its access and refresh tokens stop working at once.
    """
    if services.sessions.log_out(user["_id"], g.session_id):
        services.audit.record("session_ended", user["_id"], session_id=g.session_id)


@blueprint.route("/verify-email", methods=["POST"])
@require_user
@fails(RateLimited)
@blueprint.response(202, schemas.StatusMessageSchema, example=schemas.VERIFY_MESSAGE)
def send_verification(user: User) -> dict[str, str]:
    """Send a new link to verify one's e-mail address.

    The link is valid for 24 hours and replaces earlier ones. If the address is already verified, nothing is sent.
    """
    verification.send(user, g.session_id, request.remote_addr)
    return schemas.VERIFY_MESSAGE


@blueprint.route("/verify-email/confirm", methods=["POST"])
@fails(InvalidOneTimeToken, WrongPassword, RateLimited, Overloaded, DatabaseUnavailable)
@blueprint.response(204)
@blueprint.body(schemas.ConfirmVerificationSchema, example=schemas.CONFIRM_VERIFICATION_EXAMPLE)
@public_or_without_password
def confirm_verification(body: dict[str, str]) -> None:
    """Verify an e-mail address with the token from the link.

    The password proves that the person who opens the link is the one who signed up. After a wrong password, the token
    can be used again. A user without a password leaves it out, and sends an access token of a recent login.
    """
    if "password" in body:
        verification.confirm(body["token"], body["password"], request.remote_addr)
    elif user := user_without_password():
        verification.confirm_without_password(body["token"], user, g.session_id)
    else:
        raise ValidationFailed({"password": ["Missing data for required field."]})


@blueprint.route("/password-reset", methods=["POST"])
@fails(RateLimited, DatabaseUnavailable)
@blueprint.response(202, schemas.StatusMessageSchema, example=schemas.RESET_MESSAGE)
@blueprint.body(schemas.RequestResetSchema, example=schemas.REQUEST_RESET_EXAMPLE)
@public
def request_password_reset(body: dict[str, str]) -> dict[str, str]:
    """Send a link to reset a lost password.

    The answer is the same whether or not there is an account. The link is valid for 30 minutes. An address that has
    received too many e-mails gets no new one, and its latest link stays valid. A network that sends too many requests
    gets 429.
    """
    recovery.send_link(body["email"], request.remote_addr)
    return schemas.RESET_MESSAGE


@blueprint.route("/password-reset/confirm", methods=["POST"])
@fails(InvalidOneTimeToken, Overloaded, DatabaseUnavailable)
@blueprint.response(204)
@blueprint.body(schemas.ConfirmResetSchema, example=schemas.CONFIRM_RESET_EXAMPLE)
@public
def confirm_password_reset(body: dict[str, str]) -> None:
    """Set a new password with the token from the link.

    Ends every session and verifies the e-mail address. If the new password is refused, the token can be used again.
    """
    recovery.reset_password(body["token"], body["new_password"])


@blueprint.route("/invitation/confirm", methods=["POST"])
@fails(InvalidOneTimeToken, Overloaded, DatabaseUnavailable)
@blueprint.response(204)
@blueprint.body(schemas.ConfirmResetSchema, example=schemas.CONFIRM_RESET_EXAMPLE)
@public
def confirm_invitation(body: dict[str, str]) -> None:
    """Accept an invitation: choose a password with the token from the link.

    Verifies the e-mail address. If the password is refused, the token can be used again.
    """
    invitations.accept(body["token"], body["new_password"])


@blueprint.route("/change-email/confirm", methods=["POST"])
@fails(InvalidOneTimeToken, EmailTaken, DatabaseUnavailable)
@blueprint.response(204)
@blueprint.body(schemas.OneTimeTokenSchema, example=schemas.ONE_TIME_TOKEN_EXAMPLE)
@public
def confirm_email_change(body: dict[str, str]) -> None:
    """Change one's e-mail address with the token from the link sent to the new one.

    The new address is verified. Links sent to the old address stop working.
    """
    email_change.confirm(body["token"])
