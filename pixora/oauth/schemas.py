"""Requests and responses of the OAuth endpoints."""

from marshmallow import Schema

from pixora.auth.schemas import REFRESH_EXAMPLE, GrantSchema, OAuthFormSchema, Password
from pixora.web.fields import Text, TypedEmail

REVOKE_EXAMPLE = {"token": REFRESH_EXAMPLE["refresh_token"], "token_type_hint": "refresh_token"}


class TokenRequestSchema(GrantSchema):
    """A password grant (RFC 6749, section 4.3.2) or a refresh token grant (section 6)."""

    grant_type = Text(required=True, metadata={"description": "`password` or `refresh_token`."})
    username = TypedEmail(metadata={"description": "With `password`: the e-mail address; case does not matter."})
    password = Password()
    refresh_token = Text(metadata={"description": "With `refresh_token`: the latest one."})


class RevokeSchema(OAuthFormSchema):
    """A token to revoke (RFC 7009, section 2.1)."""

    token = Text(required=True, metadata={"description": "A refresh token or an access token."})
    token_type_hint = Text(metadata={"description": "Not needed: the two kinds look different."})
    client_id = Text(metadata={"description": "Not needed."})
    client_secret = Text(metadata={"description": "Leave it empty: there are no clients with secrets."})


class EmptySchema(Schema):
    """An empty object."""
