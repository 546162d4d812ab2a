"""The OpenAPI document, except what the routes and schemas say themselves."""

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flask_smorest
import marshmallow as ma
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask

from pixora.web.blueprint import SECURITY_SCHEME, Blueprint
from pixora.web.bodies import URLENCODED
from pixora.web.configured import Configured
from pixora.web.fields import Personal, Text
from pixora.web.problems import ProblemSchema

SERVICE_SCHEME = "ServiceKey"
LICENSE = {"name": "MIT", "identifier": "MIT"}
CONTACT = {"name": "The Pixora contributors"}

DESCRIPTION = """\
Sign up with e-mail address and password, log in for a pair of tokens, manage your own account.

The access token is a JSON Web Token that is valid for minutes; other services verify it with the keys in
`/.well-known/jwks.json`. The refresh token is exchanged for a new pair at `/api/auth/refresh` and keeps a client logged
in for weeks. Ending a session, for example by logging out, invalidates both at once.

Every error has one shape, `application/problem+json` (RFC 9457), with a stable `code` for programs and the
`request_id` of our log lines. Every response has an `X-Request-ID`: yours, if you send one of at most 64 letters,
digits, `.`, `_` and `-`.

Sign-ups, wrong passwords and e-mails are rate limited: over the limit the answer is 429, and `Retry-After` gives the
seconds to wait.

Changing the password or the e-mail address and deleting the account require the current password; of a user who has
none (`has_password` in the profile), a login with a passkey within the last 5 minutes. Links in e-mails
carry one-time tokens, which the `confirm` routes redeem. A malformed, expired or used token gets 400
`invalid_one_time_token`; an attempt that fails for another reason does not use the token up.

Routes under `/api/admin` require the role `admin`. Demoting or disabling a user takes effect at their next
request; logging in to a disabled account fails like a wrong password.

Requests are read strictly: unknown or repeated fields, values of another JSON type and bodies over the size limit are
rejected, and so are, under `/api`, unknown or repeated query parameters.
"""


class Converter(OpenAPIConverter):
    """Adds what marshmallow does not know: `json_schema` of a schema class, and which fields depend on settings."""

    config: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._references: dict[type[ma.Schema], dict[str, Any]] = {}

    def resolve_nested_schema(self, schema: Any) -> dict[str, Any]:
        """Return the reference to a schema. apispec makes an instance each time, a third of its work."""
        if not isinstance(schema, type):
            return super().resolve_nested_schema(schema)  # type: ignore[no-any-return, no-untyped-call]
        if schema not in self._references:
            self._references[schema] = super().resolve_nested_schema(schema)  # type: ignore[no-untyped-call]
        return dict(self._references[schema])

    def schema2jsonschema(self, schema: ma.Schema | type[ma.Schema]) -> dict[str, Any]:
        """Return the JSON Schema of a schema."""
        document: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return document | getattr(schema, "json_schema", {})

    def fields2jsonschema(self, fields: Mapping[str, ma.fields.Field[Any]], **options: Any) -> dict[str, Any]:
        """Return the JSON Schema of an object with these fields."""
        fields = {
            name: field
            for name, field in fields.items()
            if not isinstance(field, Configured) or self.config[field.setting]
        }
        document: dict[str, Any] = super().fields2jsonschema(fields, **options)  # type: ignore[no-untyped-call]
        for name, field in fields.items():
            if isinstance(field, Personal) and name not in self.config["REQUIRED_FIELDS"]:
                document["properties"][name]["type"] = ["string", "null"]
                if isinstance(field, Text) and field.required:  # in a request
                    document["required"].remove(name)
        return document


class Plugin(MarshmallowPlugin):
    """apispec's plugin, with our converter."""

    Converter = Converter


class Api(flask_smorest.Api):  # type: ignore[misc]  # it has no types
    """Describes the routes when the document is asked for, which takes longer than all else that makes an application.

    Commands need no document. gunicorn.conf.py has it made before a worker serves.
    """

    def __init__(self) -> None:
        super().__init__()
        self._undescribed: list[Blueprint] = []
        self._describing = threading.Lock()

    def _register_responses(self) -> None:
        """Register no response for each status of HTTP: routes describe their own, and it takes long."""

    def register_blueprint(self, blp: Blueprint) -> None:
        """Register the routes of a blueprint, to be described later."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp)
        self._undescribed.append(blp)

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        with self._describing:
            if self._undescribed:
                for blueprint in self._undescribed:
                    blueprint.register_views_in_doc(self, self._app, self.spec, name=blueprint.name, parameters=None)
                self._undescribed = []
                _let_responses_grow(self.spec)
                _fill_in_forms(self.spec)
            document: dict[str, Any] = self.spec.to_dict()
            return document


def init_app(app: Flask, version: str, *blueprints: Blueprint) -> None:
    """Register the blueprints together with their documentation."""
    app.extensions["openapi"] = api = Api()  # for this application only: it keeps the document
    tags = {blueprint.tag: blueprint.description for blueprint in reversed(blueprints)}
    app.config |= {"API_TITLE": "Pixora", "API_VERSION": version, "OPENAPI_VERSION": "3.1.0"}
    api.DEFAULT_ERROR_RESPONSE_NAME = None  # each route documents its own errors
    api.ERROR_SCHEMA = ProblemSchema
    api.init_app(
        app,
        spec_kwargs={
            "info": {"description": DESCRIPTION, "license": LICENSE, "contact": CONTACT},
            "servers": [{"url": "/", "description": "The service that this document comes from"}],
            "tags": [{"name": name, "description": description} for name, description in reversed(tags.items())],
            "marshmallow_plugin": Plugin(),
        },
    )
    api.spec.components.schemas.pop("PaginationMetadata")  # flask-smorest's, which no route uses
    api.spec.components.security_scheme(
        SECURITY_SCHEME,
        {
            "type": "oauth2",
            "description": "The `username` is the e-mail address.",
            "flows": {"password": {"tokenUrl": "/api/auth/token", "refreshUrl": "/api/auth/token", "scopes": {}}},
        },
    )
    if app.config["SERVICE_KEYS"]:
        basic = {"type": "http", "scheme": "basic", "description": "The name of a service, and its key."}
        api.spec.components.security_scheme(SERVICE_SCHEME, basic)

    def from_settings(converter: OpenAPIConverter, field: ma.fields.Field[Any], **kwargs: Any) -> dict[str, Any]:
        return {keyword: app.config[name] for keyword, name in getattr(field, "keywords_from_settings", {}).items()}

    api.ma_plugin.converter.add_attribute_function(from_settings)
    api.ma_plugin.converter.config = app.config
    for blueprint in blueprints:
        api.register_blueprint(blueprint)


def _request_bodies(spec: APISpec) -> list[dict[str, Any]]:
    """Return the `content` of each request body."""
    paths = spec.to_dict()["paths"]
    operations = [operation for path in paths.values() for operation in path.values() if "requestBody" in operation]
    return [operation["requestBody"]["content"] for operation in operations]


def _let_responses_grow(spec: APISpec) -> None:
    """Keep `additionalProperties: false` to request bodies, so that clients accept responses with new fields."""
    requests = {_name(body["schema"]) for content in _request_bodies(spec) for body in content.values()}
    for name in spec.components.schemas.keys() - requests:
        spec.components.schemas[name].pop("additionalProperties", None)


def _fill_in_forms(spec: APISpec) -> None:
    """Give each field of a form an example: Swagger UI does not use that of the form, and makes up random values."""
    for content in _request_bodies(spec):
        if form := content.get(URLENCODED):
            for name, field in spec.components.schemas[_name(form["schema"])]["properties"].items():
                field.setdefault("examples", [form["example"].get(name, "")])


def _name(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]
