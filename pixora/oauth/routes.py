"""The token endpoint and the revocation endpoint. Both are public: all clients are."""

from typing import Any

from flask import request

from pixora.auth.grants import Grant
from pixora.auth.guards import public
from pixora.auth.login import log_in
from pixora.auth.refresh import refresh
from pixora.auth.schemas import LOGIN_EXAMPLE, TOKEN_EXAMPLE, TokenSchema
from pixora.errors import (
    DatabaseUnavailable,
    EmailNotVerified,
    InvalidCredentials,
    InvalidGrant,
    Overloaded,
    RateLimited,
    ValidationFailed,
)
from pixora.factors.errors import MFA_REQUIRED, InvalidCode, SecondFactorUnavailable
from pixora.oauth import clients, schemas
from pixora.oauth.errors import InvalidClient, UnsupportedGrantType
from pixora.oauth.revocation import revoke
from pixora.web.blueprint import Blueprint, fails
from pixora.web.oauth_errors import ErrorFormat

MISSING = "Missing data for required field."

blueprint = Blueprint("oauth", __name__, url_prefix="/api/auth", description="For OAuth clients and other services")


@blueprint.route("/token", "requestTokens", methods=["POST"], error_format=ErrorFormat.OAUTH)
@fails(
    *(InvalidCredentials, InvalidGrant, EmailNotVerified, MFA_REQUIRED, InvalidCode, UnsupportedGrantType),
    *(InvalidClient, RateLimited, Overloaded, SecondFactorUnavailable, DatabaseUnavailable),
)
@blueprint.response(200, TokenSchema, example=TOKEN_EXAMPLE)
@blueprint.body(schemas.TokenRequestSchema, example=LOGIN_EXAMPLE, location="form")
@public
def token(form: dict[str, str]) -> Grant:
    """Get tokens for a password or a refresh token, as an OAuth client.

    This is the token endpoint of RFC 6749 for OAuth libraries. It does what `/api/auth/login` and `/api/auth/refresh`
    do, and answers errors as the standard has them. All clients are public: a `client_id` is optional and not verified,
    in the form or in a Basic header with an empty secret; a secret is refused.

    A user with a second factor gets the error `mfa_required` with an `mfa_token`, for `POST /api/auth/mfa`, unless the
    client sends the code of the authenticator app as `otp`.
    """
    client_id = clients.client_id(form)
    match form["grant_type"]:
        case "password":
            _require(form, "username", "password")
            user_agent = request.headers.get("User-Agent", "")
            code = form.get("otp")
            return log_in(form["username"], form["password"], user_agent, request.remote_addr, client_id, code=code)
        case "refresh_token":
            _require(form, "refresh_token")
            return refresh(form["refresh_token"], client_id)
        case _:
            raise UnsupportedGrantType


@blueprint.route("/revoke", methods=["POST"], error_format=ErrorFormat.OAUTH)
@fails(InvalidClient, DatabaseUnavailable)
@blueprint.response(200, schemas.EmptySchema, example={})
@blueprint.body(schemas.RevokeSchema, example=schemas.REVOKE_EXAMPLE, location="form")
@public
def revoke_token(form: dict[str, str]) -> dict[str, Any]:
    """Revoke a refresh or access token: end its session.

    All tokens of the session stop working at once. The answer is the same for a token that is invalid already
    (RFC 7009).
    """
    clients.client_id(form)
    revoke(form["token"])
    return {}


def _require(form: dict[str, str], *names: str) -> None:
    if missing := [name for name in names if name not in form]:
        raise ValidationFailed({name: [MISSING] for name in missing})
