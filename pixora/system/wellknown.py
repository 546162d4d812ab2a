"""Public keys and server metadata, with which other services verify access tokens offline."""

from typing import Any

from flask import Response, jsonify, request, url_for
from marshmallow import Schema, fields

from pixora.auth.guards import public
from pixora.services import services
from pixora.web.blueprint import Blueprint
from pixora.web.hosts import base_url

MAX_AGE = 300
"""Seconds for which others may cache the answers, so how late they may learn of a new key."""

JWKS_EXAMPLE = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "WKn-ZIGevcwGIyyrzFoZNBdaq9_TsqzGl96oc0CWuis",
            "y": "y77t-RvAHRKTsSGdIYUfweuOvwrvDD-Q3Hv5J0fSKbE",
            "kid": "20261124T093000Z-es256-4f1c",
            "use": "sig",
            "alg": "ES256",
        }
    ]
}
METADATA_EXAMPLE = {
    "issuer": "https://auth.example.com",
    "token_endpoint": "https://auth.example.com/api/auth/token",
    "revocation_endpoint": "https://auth.example.com/api/auth/revoke",
    "jwks_uri": "https://auth.example.com/.well-known/jwks.json",
    "service_documentation": "https://auth.example.com/docs",
    "grant_types_supported": ["password", "refresh_token"],
    "token_endpoint_auth_methods_supported": ["none"],
    "revocation_endpoint_auth_methods_supported": ["none"],
    "introspection_endpoint": "https://auth.example.com/api/auth/introspect",
    "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
}

blueprint = Blueprint("wellknown", __name__, url_prefix="/.well-known", description="Offline verification of tokens")


class JWKSetSchema(Schema):
    """A JWK Set (RFC 7517)."""

    keys = fields.List(fields.Dict(), required=True)


class MetadataSchema(Schema):
    """Authorization server metadata (RFC 8414)."""

    issuer = fields.String(required=True, metadata={"description": "The claim `iss`."})
    token_endpoint = fields.String(required=True, metadata={"description": "For a password or a refresh token."})
    revocation_endpoint = fields.String(required=True)
    jwks_uri = fields.String(required=True)
    service_documentation = fields.String(required=True)
    grant_types_supported = fields.List(fields.String(), required=True)
    token_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    revocation_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    introspection_endpoint = fields.String(metadata={"description": "If the service has `SERVICE_KEYS`."})
    introspection_endpoint_auth_methods_supported = fields.List(fields.String())


@blueprint.route("/jwks.json", "getJwks")
@blueprint.response(200, JWKSetSchema, example=JWKS_EXAMPLE)
@public
def jwks() -> Response:
    """Get the public keys that verify access tokens.

    The set is empty where tokens are signed with a shared secret (HS256).
    """
    return cached(services.tokens.ring().jwks())


@blueprint.route("/oauth-authorization-server", "getMetadata")
@blueprint.response(200, MetadataSchema, example=METADATA_EXAMPLE)
@public
def metadata() -> Response:
    """Get the metadata of this authorization server.

    OAuth clients configure themselves with it (RFC 8414).
    """
    base = services.settings.public_url or base_url()
    introspection = {}
    if services.settings.service_keys:
        introspection = {
            "introspection_endpoint": base + url_for("introspection.introspect"),
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
    return cached(
        {
            "issuer": services.settings.jwt_issuer,
            "token_endpoint": base + url_for("oauth.token"),
            "revocation_endpoint": base + url_for("oauth.revoke_token"),
            "jwks_uri": base + url_for("wellknown.jwks"),
            "service_documentation": base + url_for("docs.swagger_ui"),
            # No response_types_supported: they are for an authorization endpoint. RFC 8414 requires them in section 2,
            # but forbids an empty list in section 3.2, which this would be.
            "grant_types_supported": ["password", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            **introspection,
        }
    )


def cached(document: Any) -> Response:
    """Return a document as JSON that others may keep for a few minutes, and then ask for again by its ETag."""
    response = jsonify(document)
    response.cache_control.public = True
    response.cache_control.max_age = MAX_AGE
    response.add_etag()
    response.make_conditional(request)
    return response
