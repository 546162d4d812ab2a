"""The introspection endpoint (RFC 7662), registered where `SERVICE_KEYS` is set."""

from typing import Any

from flask import Response, jsonify

from pixora.auth import grants
from pixora.errors import InvalidToken
from pixora.oauth import schemas
from pixora.oauth.service_keys import require_service
from pixora.services import services
from pixora.web.blueprint import Blueprint
from pixora.web.oauth_errors import ErrorFormat

INACTIVE: dict[str, Any] = {"active": False}

OF_TOKEN = ("iss", "aud", "sub", "sid", "client_id", "jti", "iat", "exp", "auth_time", "acr", "amr")
"""The claims to answer with; those of the user come from the database."""

blueprint = Blueprint("introspection", __name__, url_prefix="/api/auth", tag="oauth")


@blueprint.route("/introspect", methods=["POST"], error_format=ErrorFormat.OAUTH)
@require_service
@blueprint.response(200, schemas.IntrospectionSchema, example=schemas.INTROSPECTION_EXAMPLE)
@blueprint.body(schemas.IntrospectSchema, example=schemas.INTROSPECT_EXAMPLE, location="form")
def introspect(form: dict[str, str]) -> Response:
    """Check an access token, as another service.

    The answer is `{"active": false}` for a token that is malformed, forged or expired, whose session has ended, whose
    user is disabled or deleted, and for everything that is no access token. So an ended session is noticed at once, and
    the claims that `TOKEN_CLAIMS` names have the current values, not those of the token.

    The service authenticates by HTTP Basic with its name and key.
    """
    return jsonify(_introspect(form["token"]))


def _introspect(text: str) -> dict[str, Any]:
    # A refresh token is inactive here: a service accepts active tokens, and must not take one for an access token.
    try:
        token = services.tokens.verify(text)
        user = services.users.find_in_session(token.user_id, token.session_id)
    except InvalidToken:
        return INACTIVE
    found = {name: token.claims[name] for name in OF_TOKEN if name in token.claims}
    return {"active": True, "token_type": "Bearer", "client_id": grants.FIRST_PARTY} | grants.user_claims(user) | found
