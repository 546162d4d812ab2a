"""The format of a line: a profile with a password hash and further facts about a user."""

import datetime
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields, validate

from pixora import clock
from pixora.accounts.documents import USER, TotpFactor, User, new_user
from pixora.admin.schemas import Roles
from pixora.auth.schemas import NewProfileSchema
from pixora.database.client import Document
from pixora.errors import MalformedBody
from pixora.factors import encryption
from pixora.factors.fields import TotpSecret
from pixora.importing.lines import LONGEST, Line
from pixora.passwords import verify
from pixora.web.bodies import loads
from pixora.web.fields import Flag, Text, Time
from pixora.web.metadata import JSONObject

EARLIEST = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MOST_NAMED = 5
_HARMLESS_NAME = re.compile("[a-z_]{1,30}")


class LineRefused(ValueError):
    """A line is refused. `errors` has messages by field, or under `line`, and contains no secrets."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        self.errors = dict(errors)
        super().__init__(self.errors)


class PasswordHash(Text):
    """A hash that a login can check at an acceptable cost."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            verify.kind(text)
        except verify.CorruptHash as error:
            raise ValidationError(f"Cannot be checked: {error}.") from error
        return text


class PastTime(Time):
    """A time since 1970, and not in the future."""

    out_of_range = "Must be a time since 1970, and not in the future."

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime.datetime:
        time = super()._deserialize(value, attr, data, **kwargs)
        if not EARLIEST <= time <= clock.utcnow():
            raise ValidationError(self.out_of_range)
        return time


class ImportedSchema(NewProfileSchema):
    """A user as a JSON object in a line."""

    id = fields.String(
        validate=validate.Regexp(r"[0-9a-f]{24}\Z", error="Must be 24 hexadecimal digits, in lower case.")
    )
    password_hash = PasswordHash(required=True, allow_none=True)  # null is explicit: a file without hashes is refused
    created_at = PastTime()
    updated_at = PastTime()
    email_verified = Flag()
    roles = Roles()
    disabled = Flag()
    metadata = JSONObject()
    app_metadata = JSONObject()
    totp_secret = TotpSecret()


class Reader:
    """Converts lines to documents. Default ids derive from SECRET_KEY; secrets of TOTP are stored under DATA_KEYS."""

    def __init__(self, secret: str, data_keys: Sequence[str] = ()) -> None:
        self._data_keys = data_keys
        self._schema = ImportedSchema()
        self._key = hmac.digest(secret.encode(), b"pixora import id 1", "sha256")

    def read(self, line: Line) -> User | None:
        """Return the document of a line; None for a blank line.

        A user without an id gets one derived from e-mail address and hash, so that a repeated import finds the user.

        Raises:
            LineRefused: a field is missing, unknown or invalid.

        """
        if line.data is None:
            raise LineRefused({"line": [f"Must have at most {LONGEST} bytes."]})
        if not line.data.strip():
            return None
        try:
            given: Document = self._schema.load(loads(line.data))
        except MalformedBody as error:
            cut_off = " The last line has no line break: the file may be truncated." * line.is_cut_off
            message = f"Must be well-formed JSON in UTF-8 without duplicate names.{cut_off}"
            raise LineRefused({"line": [message]}) from error
        except ValidationError as error:
            raise LineRefused(_harmless(error.messages_dict)) from error
        now = clock.utcnow()
        email, hashed = given["email"], given["password_hash"]
        user = new_user(
            given,
            hashed,
            given.get("created_at", now),
            user_id=given.get("id") or self._id(email, hashed),
            email_verified=given.get("email_verified", False),
            roles=given.get("roles", [USER]),
        )
        user["updated_at"] = given.get("updated_at", now)
        if hashed is None:
            user["invited_at"] = now
        if given.get("disabled"):
            user["disabled"] = True
        if "totp_secret" in given:
            user["factors"] = {"totp": self._totp(user, given["totp_secret"])}
        return user

    def _totp(self, user: User, secret: bytes) -> TotpFactor:
        if not self._data_keys:
            raise LineRefused({"totp_secret": ["Cannot be stored: DATA_KEYS is not set."]})
        encrypted = encryption.encrypt(self._data_keys, user["_id"], secret)
        return {
            "id": secrets.token_hex(12),
            "secret": encrypted.data,
            "key": encrypted.key,
            "last_step": 0,
            "created_at": user["updated_at"],
        }

    def is_derived(self, user: User) -> bool:
        """Tell whether the id was derived from e-mail address and hash."""
        return user["_id"] == self._id(user["email"], user.get("password"))

    def _id(self, email: str, hashed: str | None) -> str:
        return hmac.digest(self._key, f"{email}\n{hashed or ''}".encode(), "sha256")[:12].hex()


def _harmless(errors: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the messages by field; of unknown fields, only a few names that cannot be secrets."""
    kept: dict[str, list[str]] = {}
    unknown = []
    for name, messages in errors.items():
        if name in ImportedSchema._declared_fields:  # noqa: SLF001  # marshmallow has no other list of them
            kept[name] = messages if isinstance(messages, list) else [one for some in messages.values() for one in some]
        elif name == "_schema":
            kept["line"] = ["Must be a JSON object."]
        else:
            unknown.append(name)
    if unknown:
        named = [name for name in unknown if _HARMLESS_NAME.fullmatch(name)][:MOST_NAMED]
        kept["line"] = [f"Has unknown fields{': ' if named else ''}{', '.join(named)}."]
    return kept
