"""JSON objects whose content the service does not know: `metadata` and `app_metadata` of a user.

What MongoDB or a reader of JSON could misunderstand is rejected: names with `$` or a dot, `__proto__`, which some
libraries of JavaScript merge into every object, numbers that do not fit 64 bits.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from pixora.errors import ValidationFailed
from pixora.web.fields import UNSTORABLE

NAMES = "metadata", "app_metadata"

LIMIT = 4096
"""The most bytes of an object, as compact JSON in UTF-8."""

PATCH_LIMIT = 2 * LIMIT
"""The most bytes of a change, which may remove names as well."""

MAX_DEPTH = 5
"""How deep objects and arrays may nest, the outermost object included."""

TOO_LARGE = f"Must take at most {LIMIT} bytes, as compact JSON in UTF-8."
TOO_DEEP = f"Must nest at most {MAX_DEPTH} levels of objects and arrays, itself included."

RULES = (
    f"At most {LIMIT} bytes as compact JSON in UTF-8, and {MAX_DEPTH} levels. Names must not be empty or `__proto__`, "
    "and must not contain `$` or a dot; integers must fit 64 bits."
)
MERGE = "Merged into the stored object, as JSON Merge Patch (RFC 7396): null removes a name, or all. "


def size(value: Any) -> int:
    """Return the bytes of a JSON value, compact and in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def sized(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return an object with its size, as they are stored; raise `ValidationFailed` if it is too large."""
    length = size(value)
    if length > LIMIT:
        raise ValidationFailed({name: [TOO_LARGE]})
    return {name: value, f"{name}_size": length}


def merge(target: Any, patch: Any) -> Any:
    """Return the result of a JSON Merge Patch, as the pseudocode of RFC 7396, section 2, has it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


class JSONObject(fields.Field[dict[str, Any]]):
    """A JSON object that can be stored.

    `is_patch`: it is a JSON Merge Patch, and may be null.
    """

    default_error_messages = dict.fromkeys(("null", "invalid"), "Must be a JSON object.")

    def __init__(self, *, is_patch: bool = False, description: str = "", **kwargs: Any) -> None:
        self._limit = PATCH_LIMIT if is_patch else LIMIT
        about = {
            "type": "object",
            "additionalProperties": True,
            "description": description + (MERGE if is_patch else "") + RULES,
        }
        super().__init__(allow_none=is_patch, metadata=about, **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        try:
            found = size(value)  # in C, so that what follows has little to do
        except RecursionError:
            raise ValidationError(TOO_DEEP) from None
        if found > self._limit:
            raise ValidationError(TOO_LARGE)
        _check(value, 1)
        return value


def _check(value: Any, depth: int) -> None:
    """Raise `ValidationError` for what cannot be stored as it is."""
    match value:
        case dict() | list() if depth > MAX_DEPTH:
            raise ValidationError(TOO_DEEP)
        case dict():
            for name, inner in value.items():
                _check_name(name)
                _check(inner, depth + 1)
        case list():
            for inner in value:
                _check(inner, depth + 1)
        case str():
            _check_text(value)
        case int() if not -(2**63) <= value < 2**63:
            raise ValidationError("Must not contain integers that do not fit 64 bits.")
        case float() if not math.isfinite(value):  # 1e999
            raise ValidationError("Must not contain numbers that do not fit 64 bits.")


def _check_name(name: str) -> None:
    _check_text(name)
    if not name or name == "__proto__" or "$" in name or "." in name:
        raise ValidationError("Names must not be empty or __proto__, and must not contain $ or a dot.")


def _check_text(text: str) -> None:
    if UNSTORABLE.search(text):
        raise ValidationError("Must not contain NUL or lone surrogates.")
