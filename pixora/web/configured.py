"""Fields of optional features, which exist only where a setting is present."""

from collections.abc import Mapping
from typing import Any

from flask import current_app
from marshmallow import Schema, ValidationError, fields, missing


class Configured(fields.Nested):
    """A nested object that belongs to an optional feature: where its setting is empty, the field is unknown."""

    def __init__(self, setting: str, nested: type[Schema], **kwargs: Any) -> None:
        self.setting = setting
        super().__init__(nested, **kwargs)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Return the value; refuse it as schemas refuse unknown fields where the feature is off."""
        if value is not missing and not current_app.config[self.setting]:
            raise ValidationError("Unknown field.")
        return super().deserialize(value, attr, data, **kwargs)
