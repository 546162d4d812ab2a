"""The marshmallow fields of codes."""

import base64
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from pixora.factors import recovery_codes, totp
from pixora.web.fields import Text

LEAST_SECRET_BYTES, MOST_SECRET_BYTES = 10, 64
"""Ten bytes, fewer than RFC 4226 wants, is what many systems have."""


CODE_OR_EMPTY = rf"^(\s*(\d\s*){{{totp.DIGITS}}})?$"
"""In the forms of OAuth, where an empty parameter counts as absent."""


class Code(Text):
    """The code of an authenticator app: six digits of any script; spaces are dropped."""

    longest = 32
    too_long = f"Must have {totp.DIGITS} digits."

    def __init__(self, **kwargs: Any) -> None:
        metadata = {
            "description": f"{totp.DIGITS} digits; spaces are ignored.",
            "maxLength": self.longest,
            "pattern": rf"^\s*(\d\s*){{{totp.DIGITS}}}$",
        }
        super().__init__(metadata=metadata | kwargs.pop("metadata", {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = re.sub(r"\s", "", super()._deserialize(value, attr, data, **kwargs))
        digits = [unicodedata.decimal(character, None) for character in text]
        if len(digits) != totp.DIGITS or None in digits:
            raise ValidationError(self.too_long)
        return "".join(map(str, digits))


class RecoveryCode(Text):
    """A recovery code, deserialized to its one spelling."""

    longest = 64
    too_long = "Must be a recovery code, as in k3v8-9w2m-x0tq-7hbn."

    def __init__(self, **kwargs: Any) -> None:
        description = "One of the recovery codes; case, spaces and hyphens make no difference."
        super().__init__(metadata={"description": description, "maxLength": self.longest}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        code = recovery_codes.normalize(super()._deserialize(value, attr, data, **kwargs))
        if code is None:
            raise ValidationError(self.too_long)
        return code


class TotpSecret(Text):
    """A secret of TOTP (SHA-1, six digits, 30 seconds) in base32, deserialized to bytes."""

    longest = 160

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = re.sub(r"[\s=-]", "", super()._deserialize(value, attr, data, **kwargs)).upper()
        try:
            secret = base64.b32decode(text + "=" * (-len(text) % 8))
        except ValueError as error:
            raise ValidationError("Must be in base32.") from error
        if not LEAST_SECRET_BYTES <= len(secret) <= MOST_SECRET_BYTES:
            raise ValidationError(f"Must have {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes.")
        return secret
