"""The blueprint of all API routes: flask-smorest's, with strict bodies, strict queries and documented errors."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

import flask_smorest
import marshmallow as ma
from flask import current_app, request
from flask_smorest.utils import deepupdate

from pixora.errors import (
    BadRequest,
    MalformedBody,
    NotAForm,
    PayloadTooLarge,
    PixoraError,
    UnsupportedMediaType,
    ValidationFailed,
)
from pixora.web import problems
from pixora.web.application import current
from pixora.web.bodies import REPEATED, URLENCODED, BodyParser
from pixora.web.oauth_errors import ErrorFormat

View = TypeVar("View", bound=Callable[..., Any])

UNKNOWN = "Is not a parameter of this route."
SECURITY_SCHEME = "OAuth2PasswordBearer"
OPERATORS = "operators"
"""The tag of routes that operators and their monitoring call, and applications do not."""


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # the package has no types
    """Flask-smorest's blueprint with `BodyParser`.

    A route under `/api` accepts the query parameters that it declares and no others: its guard calls
    `reject_undeclared_parameters`.
    """

    ARGUMENTS_PARSER = BodyParser()

    def __init__(self, name: str, import_name: str, tag: str | None = None, **options: Any) -> None:
        super().__init__(name, import_name, **options)
        self.tag = tag or name

    def route(
        self,
        rule: str,
        operation_id: str | None = None,
        *,
        error_format: ErrorFormat = ErrorFormat.PROBLEM,
        **options: Any,
    ) -> Callable[[View], View]:
        """Register a view; note the query parameters that it declares, and the format of its errors.

        Args:
            rule: The path.
            operation_id: The name of the route in generated clients; by default that of the view, in camel case.
            error_format: The format of its errors.
            options: Those of Flask.

        """
        register: Callable[[View], View] = super().route(rule, tags=[self.tag], **options)

        def decorate(view: View) -> View:
            documented(operationId=operation_id or _camel_case(view.__name__))(view)
            documentation: dict[str, Any] = view.__dict__["_apidoc"]
            responses = documentation["manual_doc"].get("responses", {})
            if (self.url_prefix or "").startswith("/api/"):
                if HTTPStatus.UNPROCESSABLE_ENTITY not in responses:
                    fails(ValidationFailed({"page": [UNKNOWN]}))(view)
                view.__dict__["query_parameters"] = _query_parameters(documentation)
            elif not any(400 <= status < 500 for status in responses):
                fails(BadRequest)(view)
            view.__dict__["error_format"] = error_format
            _document_format(view, error_format)
            return register(view)

        return decorate

    def finished_response(self, status: int, schema: type[ma.Schema], **documentation: Any) -> Callable[[View], View]:
        """Document the response of a view that returns a finished one, without the wrapper that would serialize it.

        Args:
            status: Its status.
            schema: Describes its body.
            documentation: As for flask-smorest's `response`.

        """

        def decorate(view: View) -> View:
            wrapper = self.response(status, schema, **documentation)(view)
            view.__dict__["_apidoc"] = wrapper.__dict__["_apidoc"]
            return view

        return decorate

    def body(self, schema: type[ma.Schema], example: dict[str, Any], location: str = "json") -> Callable[[View], View]:
        """Pass the validated body to the view as last argument, and document it with its errors.

        Args:
            schema: Validates the body and describes it in OpenAPI.
            example: A body that the schema accepts.
            location: `json` or `form`. A form may be `multipart/form-data` as well; OpenAPI has one media type, because
                generators make of two a client that has to choose.

        """
        media_type = URLENCODED if location == "form" else "application/json"
        content = {media_type: {"schema": schema, "example": example}}
        invalid = ValidationFailed({next(iter(example)): ["Missing data for required field."]})
        wrong_type = NotAForm if location == "form" else UnsupportedMediaType
        errors = fails(MalformedBody, PayloadTooLarge, wrong_type, invalid)

        def decorate(view: View) -> View:
            read: View = self.arguments(schema, location=location, content_type=media_type)(view)
            return documented(requestBody={"content": content})(errors(read))

        return decorate


def reject_undeclared_parameters() -> None:
    """Check the query of the current request: an unknown filter must not look as if it had filtered.

    Routes outside `/api` ignore unknown parameters, because monitoring and browsers add their own.

    Raises:
        ValidationFailed: the route does not declare a parameter, or one is repeated.

    """
    if not current(request).query_string:
        return
    view = current_app.view_functions[request.endpoint or ""]
    declared: frozenset[str] | None = getattr(view, "query_parameters", None)
    if declared is None:
        return
    try:
        parameters = list(request.args.lists())
    except UnicodeDecodeError as error:  # raw bytes, which pixora.server refuses before
        raise ValidationFailed({"query": ["Must be percent-encoded UTF-8."]}) from error
    errors = {}
    for name, values in parameters:
        if name not in declared:
            errors[name] = [UNKNOWN]
        elif len(values) > 1:
            errors[name] = [REPEATED]
    if errors:
        raise ValidationFailed(errors)


def fails(*errors: PixoraError | type[PixoraError]) -> Callable[[View], View]:
    """Document the errors of a view, without changing the view."""
    responses: dict[int, Any] = {}
    for error in errors:
        content: dict[str, Any] = {problems.MEDIA_TYPE: {"schema": problems.ProblemSchema, "examples": {}}}
        response = responses.setdefault(
            int(error.status), {"description": problems.title(error.status), "content": content}
        )
        example = {"value": problems.document(error, "4f1c2a9be07d4c55")}
        response["content"][problems.MEDIA_TYPE]["examples"][error.code] = example
        for name in error.headers:
            response.setdefault("headers", {})[name] = {"schema": {"type": "string"}, "required": True}
    return documented(responses=responses)


def documented(**operation: Any) -> Callable[[View], View]:
    """Add to the OpenAPI operation of a view, as flask-smorest's `doc` does, without wrapping the view."""

    def decorate(view: View) -> View:
        known = getattr(view, "_apidoc", {})  # where flask-smorest keeps the documentation
        view.__dict__["_apidoc"] = known | {"manual_doc": deepupdate(known.get("manual_doc", {}), operation)}
        return view

    return decorate


def _document_format(view: Callable[..., Any], error_format: ErrorFormat) -> None:
    """Rewrite the documented errors of a view into the format of its route."""
    if error_format is ErrorFormat.PROBLEM:
        return
    schema = problems.OAuthErrorSchema if error_format is ErrorFormat.OAUTH else problems.ProblemSchema
    documentation = view.__dict__["_apidoc"]["manual_doc"]
    if error_format is ErrorFormat.OAUTH:
        view.__dict__["_apidoc"]["arguments"].pop("responses")  # flask-smorest's 422
    responses: dict[int, Any] = {}
    for response in documentation["responses"].values():
        for code, example in response["content"][problems.MEDIA_TYPE]["examples"].items():
            status, media_type, body = problems.in_format(example["value"], error_format)
            described = {"description": problems.title(HTTPStatus(status))}
            rewritten = responses.setdefault(status, response | described | {"content": {}})
            content = rewritten["content"].setdefault(media_type, {"schema": schema, "examples": {}})
            content["examples"][code] = {"value": body}
    for status, response in responses.items():
        if status != HTTPStatus.UNAUTHORIZED:
            response.get("headers", {}).pop("WWW-Authenticate", None)
    documentation["responses"] = responses


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _query_parameters(documentation: dict[str, Any]) -> frozenset[str]:
    """Return the names of the query parameters in flask-smorest's documentation of a view."""
    schemas = [
        parameter["schema"]
        for parameter in documentation.get("arguments", {}).get("parameters", ())
        if parameter["in"] == "query"
    ]
    return frozenset(field.data_key or name for schema in schemas for name, field in schema().fields.items())
