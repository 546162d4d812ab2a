"""The OpenAPI document: what is not said where the routes are."""

from typing import Any

from flask import Flask
from flask_smorest import Blueprint

from pixora.extensions import api
from pixora.web.blueprint import ProblemSchema

SECURITY_SCHEME = "OAuth2PasswordBearer"

DESCRIPTION = """\
Sign up with e-mail and password, log in for a pair of tokens, look after one's own account.

The access token, a JSON Web Token, is good for minutes; other services verify it with the keys in
`/.well-known/jwks.json`. The refresh token is exchanged for a new pair at `/api/auth/refresh`, and keeps a client
signed in for months. Ending a session, by logging out say, makes both worthless at once.

Every error has one shape, `application/problem+json` (RFC 9457), with a stable `code` for programs and the
`request_id` under which our log tells more. Every response carries `X-Request-ID`: yours, when you send one of
letters, digits, `.`, `_` and `-` (64 at most).

Sign-ups, wrong passwords and letters are limited: over the limit the answer is 429, and `Retry-After` says for how many
seconds.

What changes the password or the address, or deletes the account, takes the password along. Letters bring one-time
tokens, which the `confirm` routes take; one that is malformed, expired or used is refused with 400
`invalid_one_time_token`, and an attempt that fails for another reason does not use it up.

Routes under `/api/admin` are for users with the role `admin`. Whoever is demoted or disabled is stopped at the next
request; to log in to a disabled account is answered as a wrong password is.

Requests are read strictly: unknown or repeated fields, values of another JSON type, and bodies over the size limit
are refused, and so is, under `/api`, a query parameter that the route does not have, or that comes twice.
"""


def init_app(app: Flask, version: str, *blueprints: Blueprint) -> None:
    """Register the blueprints, and with them their part of the document."""
    app.config |= {"API_TITLE": "Pixora", "API_VERSION": version, "OPENAPI_VERSION": "3.1.0"}
    api.DEFAULT_ERROR_RESPONSE_NAME = None  # each route documents its own errors
    api.ERROR_SCHEMA = ProblemSchema
    api.init_app(app, spec_kwargs={"info": {"description": DESCRIPTION}})
    api.spec.components.schemas.pop("PaginationMetadata")  # flask-smorest's; nothing here is paged by it
    api.spec.components.security_scheme(
        SECURITY_SCHEME,
        {
            "type": "oauth2",
            "description": "The `username` is the e-mail address. Leave `client_id` and `client_secret` empty.",
            "flows": {"password": {"tokenUrl": "/api/auth/login", "refreshUrl": "/api/auth/refresh", "scopes": {}}},
        },
    )
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    _set_password_length(api.spec.components.schemas, app.config["PASSWORD_MIN_LENGTH"])
    # Marshmallow has no word for it.
    api.spec.components.schemas["ProfileChanges"]["minProperties"] = 1


def _set_password_length(schemas: dict[str, Any], min_length: int) -> None:
    # A setting of the deployment, not of the schema.
    for schema, field in (
        ("Signup", "password"),
        ("ChangePassword", "new_password"),
        ("ConfirmReset", "new_password"),
    ):
        schemas[schema]["properties"][field]["minLength"] = min_length
