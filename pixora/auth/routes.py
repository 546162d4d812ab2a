"""`/api/auth`: signing up, logging in and out, staying logged in; and what the links in letters lead to."""

from flask import Response, g, jsonify, request

from pixora.auth import email_change, recovery, schemas, service, verification
from pixora.auth.guards import public, require_user
from pixora.database.client import Document
from pixora.errors import (
    DatabaseUnavailable,
    EmailNotVerified,
    EmailTaken,
    InvalidCredentials,
    InvalidGrant,
    InvalidOneTimeToken,
    Overloaded,
    RateLimited,
    WrongPassword,
)
from pixora.services import services
from pixora.web.blueprint import Blueprint, fails

blueprint = Blueprint("auth", __name__, url_prefix="/api/auth", description="Signing up, logging in and out")


@blueprint.route("/signup", methods=["POST"])
@fails(EmailTaken, RateLimited, Overloaded, DatabaseUnavailable)
@blueprint.alt_response(
    202,
    schema=schemas.MessageSchema,
    example=schemas.SIGNUP_MESSAGE,
    description="With `ENUMERATION_SAFE`, always",
    success=True,
)
@blueprint.response(
    201,
    schemas.CreatedSchema,
    example=schemas.CREATED_EXAMPLE,
    headers={"Location": {"schema": {"type": "string"}, "required": True, "description": "Where the profile is."}},
)
@blueprint.body(schemas.SignupSchema, example=schemas.SIGNUP_EXAMPLE)
@public
def signup(account: dict[str, str]) -> tuple[dict[str, str], int, dict[str, str]] | Response:
    """Create an account.

    The e-mail address is stored without differences of case (Unicode's case folding): one address, however it is spelt,
    has one account. A letter to it brings the link that verifies it. Where the service does not tell who has an
    account (`ENUMERATION_SAFE`), the answer is 202 in any case, and the owner of an address that is taken gets a letter
    instead.
    """
    user_id = service.sign_up(account, account.pop("password"), request.remote_addr)
    if services.settings.enumeration_safe:
        return _accepted(schemas.SIGNUP_MESSAGE)
    return {"message": "User created successfully", "id": user_id}, 201, {"Location": f"/api/users/{user_id}"}


@blueprint.route("/login", methods=["POST"])
@fails(InvalidCredentials, EmailNotVerified, RateLimited, Overloaded, DatabaseUnavailable)
@blueprint.response(200, schemas.TokenSchema, example=schemas.TOKEN_EXAMPLE)
@blueprint.body(schemas.LoginSchema, example=schemas.LOGIN_EXAMPLE, location="form")
@public
def login(form: dict[str, str]) -> service.Grant:
    """Log in with e-mail and password.

    The OAuth 2.0 password grant, so that any OAuth client can use it. What is wrong is not told.
    With `REQUIRE_VERIFIED_EMAIL`, a right password gets 403 `email_not_verified` until the address is verified. If the
    last link has expired, that sends a new one.
    After too many wrong passwords for an address, or from a network, right ones are refused too, for a while.
    """
    user_agent = request.headers.get("User-Agent", "")
    return service.log_in(form["username"], form["password"], user_agent, request.remote_addr)


@blueprint.route("/refresh", methods=["POST"])
@fails(InvalidGrant, DatabaseUnavailable)
@blueprint.response(200, schemas.TokenSchema, example=schemas.TOKEN_EXAMPLE)
@blueprint.body(schemas.RefreshSchema, example=schemas.REFRESH_EXAMPLE, location="form")
@public
def refresh(form: dict[str, str]) -> service.Grant:
    """Exchange a refresh token for new tokens.

    A refresh token can be used once. Sent again within seconds, by a client that lost the answer, it gets the same
    successor, a bounded number of times; later, it counts as stolen and the session ends. After a 503 send it again: as
    long as the service could not answer, it does not count as used.
    """
    return service.refresh(form["refresh_token"])


@blueprint.route("/logout", methods=["POST"])
@require_user
@blueprint.response(204)
def logout(user: Document) -> None:
    """End the session of the access token, at once and everywhere."""
    if services.sessions.end(user["_id"], g.session_id):
        services.audit.record("session_ended", user["_id"], session_id=g.session_id)


@blueprint.route("/verify-email", methods=["POST"])
@require_user
@fails(RateLimited)
@blueprint.response(202, schemas.MessageSchema, example=schemas.VERIFY_MESSAGE)
def send_verification(user: Document) -> dict[str, str]:
    """Send the letter that verifies one's address again.

    Its link is good for 24 hours, and the links of earlier ones are not any more. None is sent where the address is
    verified already.
    """
    verification.send(user, g.session_id, request.remote_addr)
    return schemas.VERIFY_MESSAGE


@blueprint.route("/verify-email/confirm", methods=["POST"])
@fails(InvalidOneTimeToken, WrongPassword, RateLimited, Overloaded, DatabaseUnavailable)
@blueprint.response(204)
@blueprint.body(schemas.ConfirmVerificationSchema, example=schemas.CONFIRM_VERIFICATION_EXAMPLE)
@public
def confirm_verification(body: dict[str, str]) -> None:
    """Verify an address, with the token from the letter.

    The password proves that whoever opens the letter is who has signed up. A wrong one leaves the token good.
    """
    verification.confirm(body["token"], body["password"], request.remote_addr)


@blueprint.route("/password-reset", methods=["POST"])
@fails(RateLimited, DatabaseUnavailable)
@blueprint.response(202, schemas.MessageSchema, example=schemas.RESET_MESSAGE)
@blueprint.body(schemas.RequestResetSchema, example=schemas.REQUEST_RESET_EXAMPLE)
@public
def request_reset(body: dict[str, str]) -> dict[str, str]:
    """Ask for a letter to reset a lost password with.

    The answer is the same whether or not there is an account. The link is good for 30 minutes. When an address has had
    enough e-mails for now, nothing is sent, and the newest link is still good; a network that asks for too many, for
    whatever addresses, is refused.
    """
    recovery.request(body["email"], request.remote_addr)
    return schemas.RESET_MESSAGE


@blueprint.route("/password-reset/confirm", methods=["POST"])
@fails(InvalidOneTimeToken, Overloaded, DatabaseUnavailable)
@blueprint.response(204)
@blueprint.body(schemas.ConfirmResetSchema, example=schemas.CONFIRM_RESET_EXAMPLE)
@public
def confirm_reset(body: dict[str, str]) -> None:
    """Set a new password, with the token from the letter.

    Every session ends, and the address counts as verified. A password that is refused leaves the token good.
    """
    recovery.reset(body["token"], body["new_password"])


@blueprint.route("/change-email/confirm", methods=["POST"])
@fails(InvalidOneTimeToken, EmailTaken, DatabaseUnavailable)
@blueprint.response(204)
@blueprint.body(schemas.OneTimeTokenSchema, example=schemas.ONE_TIME_TOKEN_EXAMPLE)
@public
def confirm_change_of_address(body: dict[str, str]) -> None:
    """Change one's address, with the token from the letter to the new one.

    It counts as verified. Links that were sent to the old address are good no more.
    """
    email_change.confirm(body["token"])


def _accepted(message: dict[str, str]) -> Response:
    response = jsonify(message)
    response.status_code = 202
    return response
