"""Requests and responses of the OAuth endpoints."""

from typing import ClassVar

from marshmallow import Schema, fields

from pixora.auth.schemas import REFRESH_EXAMPLE, GrantSchema, OAuthFormSchema, Password
from pixora.factors.fields import CODE_OR_EMPTY, Code
from pixora.web.fields import Text, TypedEmail

REVOKE_EXAMPLE = {"token": REFRESH_EXAMPLE["refresh_token"], "token_type_hint": "refresh_token"}

INTROSPECT_EXAMPLE = {"token": "eyJhbGciOiJFUzI1NiIs…"}
INTROSPECTION_EXAMPLE = {
    "active": True,
    "token_type": "Bearer",
    "client_id": "first-party",
    "roles": ["user"],
    "iss": "https://auth.example.com",
    "aud": "pixora",
    "sub": "6924a1e0c3f1a2b4d5e6f708",
    "sid": "9f3c51a07be24d68c0a1f2e3",
    "jti": "0c6cbd3c-6d4a-4ac2-93ca-0b0f7a4f2ed6",
    "iat": 1764064800,
    "exp": 1764065700,
    "auth_time": 1764064800,
    "acr": "aal1",
    "amr": ["pwd"],
}


class TokenRequestSchema(GrantSchema):
    """A password grant (RFC 6749, section 4.3.2) or a refresh token grant (section 6)."""

    grant_type = Text(required=True, metadata={"minLength": 1, "description": "`password` or `refresh_token`."})
    username = TypedEmail(metadata={"description": "With `password`: the e-mail address; case does not matter."})
    password = Password()
    otp = Code(
        metadata={
            "description": "With `password`: the code of the authenticator app, for users who have one.",
            "pattern": CODE_OR_EMPTY,
        }
    )
    refresh_token = Text(metadata={"description": "With `refresh_token`: the latest one."})


class RevokeSchema(OAuthFormSchema):
    """A token to revoke (RFC 7009, section 2.1)."""

    token = Text(required=True, metadata={"minLength": 1, "description": "A refresh token or an access token."})
    token_type_hint = Text(metadata={"description": "Not needed: the two kinds look different."})
    client_id = Text(metadata={"description": "Not needed."})
    client_secret = Text(metadata={"description": "Leave it empty: there are no clients with secrets."})


class EmptySchema(Schema):
    """An empty object."""


class IntrospectSchema(OAuthFormSchema):
    """A token to check (RFC 7662, section 2.1)."""

    token = Text(required=True, metadata={"minLength": 1, "description": "An access token."})
    token_type_hint = Text(metadata={"description": "Not needed."})


class IntrospectionSchema(Schema):
    """What is known of a token (RFC 7662, section 2.2). If it is not active, there is nothing else."""

    json_schema: ClassVar = {"additionalProperties": True}  # claims from app_metadata

    active = fields.Boolean(required=True)
    token_type = fields.String(metadata={"description": "`Bearer`."})
    client_id = fields.String(metadata={"description": "As the client called itself, not verified."})
    iss = fields.String()
    aud = fields.String()
    sub = fields.String(metadata={"description": "The id of the user."})
    sid = fields.String(metadata={"description": "The id of the session."})
    jti = fields.String()
    iat = fields.Integer()
    exp = fields.Integer()
    auth_time = fields.Integer(metadata={"description": "When the user was last authenticated in this session."})
    acr = fields.String(metadata={"description": "The level: `aal1`, or `aal2` with a second factor."})
    amr = fields.List(fields.String(), metadata={"description": "The methods (RFC 8176), such as `pwd`."})
    roles = fields.List(fields.String(), metadata={"description": "With `roles` in `TOKEN_CLAIMS`."})
    email = fields.String(metadata={"description": "With `email` in `TOKEN_CLAIMS`."})
    email_verified = fields.Boolean(metadata={"description": "With `email_verified` in `TOKEN_CLAIMS`."})
