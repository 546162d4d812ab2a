"""The marshmallow fields of passkeys."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from pixora.web.fields import Text

_BASE64URL = re.compile("[A-Za-z0-9_-]*")


class Base64Url(Text):
    """Bytes in base64url without padding, as WebAuthn has them in JSON; deserialized to bytes."""

    def __init__(self, most: int, **kwargs: Any) -> None:
        self.most = most
        self.longest = -(-most * 4 // 3)
        metadata = {"maxLength": self.longest, "pattern": f"^{_BASE64URL.pattern}$", "contentEncoding": "base64url"}
        super().__init__(metadata=metadata | kwargs.pop("metadata", {}), **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else encode(value)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
            raise ValidationError("Must be in base64url, without padding and spaces.")
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data: bytes) -> str:
    """Return bytes in base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
