"""A blueprint whose routes read their bodies strictly and document their errors.

Flask-smorest makes routes and OpenAPI from the same schemas; webargs, under it, reads bodies kindly. We do
not: what is not exactly what the route documents is refused, so that no two readers can understand one
request differently.
"""

import io
import json
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

import flask
import flask_smorest
import marshmallow as ma
from flask_smorest.utils import deepupdate
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict
from werkzeug.formparser import FormDataParser

from pixora.errors import MalformedBody, PayloadTooLarge, PixoraError, UnsupportedMediaType, ValidationFailed
from pixora.web import problems

View = TypeVar("View", bound=Callable[..., Any])

MAX_PARTS = 100
UNKNOWN_PARAMETER = "Is no parameter of this route."
SENT_TWICE = "Was sent more than once."
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class ProblemSchema(ma.Schema):
    """The shape of every error."""

    class Meta:
        title = "Problem"

    type = ma.fields.String(required=True, metadata={"description": "A URI reference that names the kind of problem."})
    title = ma.fields.String(required=True, metadata={"description": "The status in words."})
    status = ma.fields.Integer(required=True, metadata={"description": "The HTTP status."})
    detail = ma.fields.String(required=True, metadata={"description": "A sentence for people."})
    code = ma.fields.String(
        required=True, metadata={"description": "A stable word for programs.", "pattern": "^[a-z_]+$"}
    )
    request_id = ma.fields.String(required=True, metadata={"description": "As in the X-Request-ID header and our log."})
    errors = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.List(ma.fields.String()),
        metadata={"description": "On validation_failed: field name → what is wrong with it."},
    )


class BodyParser(FlaskParser):
    """Reads JSON and form bodies, or says plainly why not."""

    def load_json(self, req: flask.Request, schema: ma.Schema) -> Any:
        """Return the decoded body; raise `MalformedBody` or `UnsupportedMediaType`."""
        _refuse_encoding(req)
        if not req.is_json:
            raise UnsupportedMediaType
        return loads(req.get_data(cache=False))

    def load_form(self, req: flask.Request, schema: ma.Schema) -> Any:
        """Return the fields of a form; raise `MalformedBody`, `UnsupportedMediaType` or `ValidationFailed`."""
        _refuse_encoding(req)
        if req.mimetype not in FORM_TYPES:
            raise UnsupportedMediaType
        fields = _form(req)
        # RFC 6749, section 3.2: parameters must not be included more than once.
        if repeated := [name for name, values in fields.lists() if len(values) > 1]:
            raise ValidationFailed({name: [SENT_TWICE] for name in repeated})
        return fields.to_dict()

    def handle_error(self, error: ma.ValidationError, *args: Any, **kwargs: Any) -> NoReturn:
        """Turn marshmallow's messages, under the name of the location, into our problem."""
        [messages] = error.messages_dict.values()
        raise ValidationFailed({_printable(field): _flatten(told) for field, told in messages.items()})


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # the package has no types
    """Flask-smorest's blueprint, reading bodies with our `BodyParser`.

    Under `/api` a route takes the query parameters that it declares and no others, see `declared_parameters_only`.
    """

    ARGUMENTS_PARSER = BodyParser()

    def route(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Register a view, as flask-smorest does, and note which query parameters it declares."""
        register: Callable[[View], View] = super().route(rule, **options)

        def decorate(view: View) -> View:
            if (self.url_prefix or "").startswith("/api/"):
                documentation = getattr(view, "_apidoc", {})
                if HTTPStatus.UNPROCESSABLE_ENTITY not in documentation.get("manual_doc", {}).get("responses", {}):
                    fails(ValidationFailed({"page": [UNKNOWN_PARAMETER]}))(view)
                view.__dict__["query_parameters"] = _query_parameters(documentation)
            return register(view)

        return decorate

    def body(self, schema: type[ma.Schema], example: dict[str, Any], location: str = "json") -> Callable[[View], View]:
        """Give a view its body, checked by `schema`, as last argument, and document it with its errors.

        Args:
            schema: Also the source of the OpenAPI document.
            example: A body that the schema accepts.
            location: `json`, or `form` for both kinds of form.

        """
        media_types = FORM_TYPES if location == "form" else ("application/json",)
        content = {media_type: {"schema": schema, "example": example} for media_type in media_types}
        invalid = ValidationFailed({next(iter(example)): ["Missing data for required field."]})
        errors = fails(MalformedBody, PayloadTooLarge, UnsupportedMediaType, invalid)

        def decorate(view: View) -> View:
            read: View = self.arguments(schema, location=location, content_type=media_types[0])(view)
            return documented(requestBody={"content": content})(errors(read))

        return decorate


def declared_parameters_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse a query parameter that the route does not declare, or that comes twice, before the view is called.

    A filter that is not known must not look as if it had filtered. For guards, which say first who may call at all. It
    asks nothing of routes outside `/api`: monitoring and browsers add parameters of their own there.

    Raises:
        ValidationFailed: under the names of the parameters.

    """

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if flask.request.query_string:
            called = flask.current_app.view_functions[flask.request.endpoint or ""]
            declared: frozenset[str] | None = getattr(called, "query_parameters", None)
            if declared is not None:
                _refuse_parameters_beside(declared)
        return view(*args, **kwargs)

    return checked


def fails(*errors: PixoraError | type[PixoraError]) -> Callable[[View], View]:
    """Document that a view answers with these errors. Changes nothing about what it does."""
    responses: dict[int, Any] = {}
    for error in errors:
        response = responses.setdefault(
            int(error.status),
            {
                "description": problems.title(error.status),
                "content": {problems.MEDIA_TYPE: {"schema": ProblemSchema, "examples": {}}},
            },
        )
        response["content"][problems.MEDIA_TYPE]["examples"][error.code] = {
            "value": problems.document(error, "4f1c2a9be07d4c55")
        }
        for name in error.headers:
            response.setdefault("headers", {})[name] = {"schema": {"type": "string"}, "required": True}
    return documented(responses=responses)


def documented(**operation: Any) -> Callable[[View], View]:
    """Add to the OpenAPI operation of a view, as flask-smorest's `doc` does but without a wrapper around it."""

    def decorate(view: View) -> View:
        known = getattr(view, "_apidoc", {})
        documentation = known | {"manual_doc": deepupdate(known.get("manual_doc", {}), operation)}
        view.__dict__["_apidoc"] = documentation  # where flask-smorest keeps it
        return view

    return decorate


def loads(data: bytes) -> Any:
    """Decode JSON as RFC 8259 and I-JSON (RFC 7493) have it: UTF-8, no NaN, no name twice in one object.

    Raises:
        MalformedBody: also for nesting deeper than Python's stack and integers of over 4,300 digits.

    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedBody from error


def _query_parameters(documentation: dict[str, Any]) -> frozenset[str]:
    """Return the names of the query parameters in what flask-smorest notes of a view."""
    schemas = [
        parameter["schema"]
        for parameter in documentation.get("arguments", {}).get("parameters", ())
        if parameter["in"] == "query"
    ]
    return frozenset(field.data_key or name for schema in schemas for name, field in schema().fields.items())


def _refuse_parameters_beside(declared: frozenset[str]) -> None:
    errors = {}
    for name, values in flask.request.args.lists():
        if name not in declared:
            errors[name] = [UNKNOWN_PARAMETER]
        elif len(values) > 1:
            errors[name] = [SENT_TWICE]
    if errors:
        raise ValidationFailed(errors)


def _form(req: flask.Request) -> MultiDict[str, Any]:
    """Return the fields and files of a form; raise `MalformedBody` where Werkzeug would make the best of it."""
    data = req.get_data()
    if req.mimetype == FORM_TYPES[0] and data.count(b"&") >= MAX_PARTS:
        raise PayloadTooLarge  # as Werkzeug has it for the other kind; thousands of them take 20 ms
    try:
        # Werkzeug takes %ff for the text "%ff": two passwords would be one.
        (unquote_to_bytes(data) if req.mimetype == FORM_TYPES[0] else data).decode()
        parser = FormDataParser(_in_memory, max_form_parts=MAX_PARTS, silent=False)
        _, fields, files = parser.parse(io.BytesIO(data), req.mimetype, len(data), req.mimetype_params)
    except ValueError as error:
        raise MalformedBody from error
    return MultiDict([*fields.items(multi=True), *files.items(multi=True)])


def _in_memory(
    total_content_length: int | None, content_type: str | None, filename: str | None, content_length: int | None = None
) -> io.BytesIO:
    # For a file, which no field takes. The whole body is in memory already.
    return io.BytesIO()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return names


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_encoding(req: flask.Request) -> None:
    # RFC 9110, section 8.4: a content coding that is not acceptable is answered with 415.
    if req.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType


def _printable(field: object) -> str:
    """Return a field's name as the client sent it, but for lone surrogates, which no UTF-8 answer can hold."""
    return "body" if field == "_schema" else str(field).encode("utf-8", "backslashreplace").decode()


def _flatten(told: Any) -> list[str]:
    """Return the messages in `told`, which marshmallow nests where the body does."""
    if isinstance(told, dict):
        return [message for inner in told.values() for message in _flatten(inner)]
    return [message for inner in told for message in _flatten(inner)] if isinstance(told, list) else [str(told)]
