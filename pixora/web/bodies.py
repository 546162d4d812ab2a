"""Reading request bodies strictly, so that no two readers can understand one request differently.

webargs ignores or corrects what it does not expect; `BodyParser` rejects it.
"""

import io
import json
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict
from werkzeug.formparser import FormDataParser

from pixora.errors import MalformedBody, NotAForm, PayloadTooLarge, UnsupportedMediaType, ValidationFailed

URLENCODED = "application/x-www-form-urlencoded"
FORM_TYPES = (URLENCODED, "multipart/form-data")
MAX_PARTS = 100
"""Fields of a form; thousands of them take 20 ms to parse."""

MAX_MULTIPART = 65_536
"""Bytes of a multipart form. Werkzeug takes up to 200 ms for 1 MiB."""

MAX_PIECES = 16_384
"""Values of JSON, or escapes of a form: what takes the time, 20 ms at most for so many. 16 KiB cannot have more."""

MAX_FIELDS = 100
"""Names of the outermost object of a JSON body. Each unknown one takes 4 µs to refuse, and 28 bytes of the answer."""

MAX_DEPTH = 100
"""Levels of objects and arrays in JSON. How many Python's parser accepts depends on its version and on the stack."""

REPEATED = "Was sent more than once."


class BodyParser(FlaskParser):
    """Reads JSON and form bodies; raises `ValidationFailed` for what the schema does not accept."""

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the decoded JSON.

        Raises:
            UnsupportedMediaType, MalformedBody.
            PayloadTooLarge: There are more than `MAX_PIECES` values.
            ValidationFailed: There are more than `MAX_FIELDS` fields.

        """
        if not req.is_json or _is_encoded(req):
            raise UnsupportedMediaType
        data = req.get_data(cache=False)
        if len(data) > MAX_PIECES and data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_PIECES:
            raise PayloadTooLarge
        decoded = loads(data)
        if isinstance(decoded, dict) and len(decoded) > MAX_FIELDS:
            raise ValidationFailed({"body": [f"Must have at most {MAX_FIELDS} fields."]})
        return decoded

    def load_form(self, req: Request, schema: ma.Schema) -> Any:
        """Return the fields of a form that have a value; raise `MalformedBody`, `NotAForm` or `ValidationFailed`.

        RFC 6749, section 3.2: an empty parameter counts as absent, and none may be sent more than once; but
        unrecognized ones are ignored, and extensions may repeat theirs, such as `resource` (RFC 8707).
        """
        if req.mimetype not in FORM_TYPES or _is_encoded(req):
            raise NotAForm
        fields = _parse_form(req)
        if repeated := [name for name, values in fields.lists() if len(values) > 1 and name in schema.fields]:
            raise ValidationFailed({name: [REPEATED] for name in repeated})
        return {name: value for name, value in fields.items() if value != ""}

    def handle_error(self, error: ma.ValidationError, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `ValidationFailed` with marshmallow's messages."""
        [messages] = error.messages_dict.values()
        raise ValidationFailed({_printable(field): _flatten(nested) for field, nested in messages.items()})


def loads(data: bytes) -> Any:
    """Decode JSON by RFC 8259 and I-JSON (RFC 7493): UTF-8, no NaN, no duplicate names in an object.

    Raises:
        MalformedBody: also for more than `MAX_DEPTH` levels and for integers of over 4,300 digits.

    """
    try:
        decoded = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedBody from error
    # No level without a bracket, and most bodies have few.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _is_too_deep(decoded):
        raise MalformedBody
    return decoded


def _is_too_deep(decoded: Any) -> bool:
    """Return whether there are more than `MAX_DEPTH` levels, without recursion."""
    level = [decoded]
    for _ in range(MAX_DEPTH):
        objects = [value.values() for value in level if isinstance(value, dict)]
        arrays = [value for value in level if isinstance(value, list)]
        level = [inner for values in (*objects, *arrays) for inner in values]
    return any(isinstance(value, dict | list) for value in level)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("duplicate name in an object")
    return names


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse_form(req: Request) -> MultiDict[str, Any]:
    """Return the fields and files of a form; raise `MalformedBody` where Werkzeug would guess."""
    data = req.get_data()
    try:
        if req.mimetype == URLENCODED:
            return _parse_urlencoded(data)
        if len(data) > MAX_MULTIPART:
            raise PayloadTooLarge
        data.decode()  # Werkzeug would decode %ff as the text "%ff", so that two passwords would be one
        parser = FormDataParser(_file_in_memory, max_form_parts=MAX_PARTS, silent=False)
        _, fields, files = parser.parse(io.BytesIO(data), req.mimetype, len(data), req.mimetype_params)
    except ValueError as error:
        raise MalformedBody from error
    return MultiDict([*fields.items(multi=True), *files.items(multi=True)])


def _parse_urlencoded(data: bytes) -> MultiDict[str, Any]:
    """Return the fields of a form; raise ValueError if they are not UTF-8, `PayloadTooLarge` if they take too long."""
    if data.count(b"&") >= MAX_PARTS or data.count(b"%") > MAX_PIECES:
        raise PayloadTooLarge  # as Werkzeug does for multipart forms
    return MultiDict(parse_qsl(data.decode(), keep_blank_values=True, errors="strict"))


def _file_in_memory(*args: Any, **kwargs: Any) -> io.BytesIO:
    # No field accepts a file, and the whole body is in memory already.
    return io.BytesIO()


def _is_encoded(req: Request) -> bool:
    # RFC 9110, section 8.4: 415 for a content coding that is not supported.
    return req.headers.get("Content-Encoding", "identity").lower() != "identity"


def _printable(field: object) -> str:
    """Return the name of a field, with lone surrogates escaped, which UTF-8 cannot hold."""
    return "body" if field == "_schema" else str(field).encode("utf-8", "backslashreplace").decode()


def _flatten(nested: Any) -> list[str]:
    """Return the messages that marshmallow nests as the body is nested."""
    if isinstance(nested, dict):
        nested = list(nested.values())
    return [message for inner in nested for message in _flatten(inner)] if isinstance(nested, list) else [str(nested)]
