"""What stands in a line of an import: a profile with the password hash, and what else is known of a user."""

import datetime
import hmac
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from pixora import clock
from pixora.accounts.roles import USER
from pixora.admin.schemas import Roles
from pixora.database.client import Document
from pixora.errors import MalformedBody
from pixora.importing.lines import LONGEST, Line
from pixora.passwords import verify
from pixora.web.bodies import loads
from pixora.web.fields import Birthday, Contact, Email, PersonName, Text

EARLIEST = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MOST_NAMED = 5
_HARMLESS_NAME = re.compile("[a-z_]{1,30}")


class LineRefused(ValueError):
    """A line is not imported. `errors`: field name to messages, or `line`; they tell nothing of what is secret."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        self.errors = dict(errors)
        super().__init__(self.errors)


class PasswordHash(Text):
    """A hash that a login can check, at a cost that it bears."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            verify.kind(text)
        except verify.CorruptHash as error:
            raise ValidationError(f"Cannot be checked: {error}.") from error
        return text


class PastTime(fields.AwareDateTime):
    """A time since 1970, with its offset, as RFC 3339 has it; in UTC, to the millisecond."""

    default_error_messages = dict.fromkeys(
        ("invalid", "invalid_awareness"), "Must be a time with its offset, as in 2023-05-17T08:30:00Z."
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime.datetime:
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        time: datetime.datetime = super()._deserialize(value, attr, data, **kwargs)
        if not EARLIEST <= time <= clock.utcnow():
            raise ValidationError("Must be a time since 1970, and not in the future.")
        time = time.astimezone(datetime.UTC)
        return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Flag(fields.Boolean):
    """True or false, and nothing that is like them."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class ImportedSchema(Schema):
    """A user, as a line describes one."""

    id = fields.String(
        validate=validate.Regexp(r"[0-9a-f]{24}\Z", error="Must be 24 hexadecimal digits, in lower case.")
    )
    first_name = PersonName(required=True)
    last_name = PersonName(required=True)
    email = Email(required=True)
    contact = Contact(required=True)
    birthday = Birthday(required=True)
    password_hash = PasswordHash(required=True)
    created_at = PastTime()
    updated_at = PastTime()
    email_verified = Flag()
    roles = Roles()
    disabled = Flag()


class Reader:
    """Makes documents of lines. `secret`: SECRET_KEY, for the ids of those who come without one."""

    def __init__(self, secret: str) -> None:
        self._schema = ImportedSchema()
        self._key = hmac.digest(secret.encode(), b"pixora import id 1", "sha256")

    def read(self, line: Line) -> Document | None:
        """Return the document of a line; None when nothing stands in it.

        Who has no id gets one that is made of address and hash, and so is the same when the file is imported again.

        Raises:
            LineRefused: something in it is missing, unknown or not acceptable.

        """
        if line.data is None:
            raise LineRefused({"line": [f"Has more than {LONGEST} bytes."]})
        if not line.data.strip():
            return None
        try:
            given: Document = self._schema.load(loads(line.data))
        except MalformedBody as error:
            cut_off = " It is the last one, and has no line break: the file may have been cut off." * line.is_cut_off
            message = f"Is not well-formed JSON in UTF-8, or has a name twice.{cut_off}"
            raise LineRefused({"line": [message]}) from error
        except ValidationError as error:
            raise LineRefused(_harmless(error.messages_dict)) from error
        now = clock.utcnow()
        email, hashed = given["email"], given["password_hash"]
        user = {
            "_id": given.get("id") or self._id(email, hashed),
            "first_name": given["first_name"],
            "last_name": given["last_name"],
            "email": email,
            "password": hashed,
            "contact": given["contact"],
            "birthday": given["birthday"],
            "created_at": given.get("created_at", now),
            "updated_at": given.get("updated_at", now),
            "email_verified": given.get("email_verified", False),
            "roles": given.get("roles", [USER]),
        }
        return user | {"disabled": True} if given.get("disabled") else user

    def is_derived(self, user: Document) -> bool:
        """Tell whether the id is one that was made of address and hash."""
        return bool(user["_id"] == self._id(user["email"], user["password"]))

    def _id(self, email: str, hashed: str) -> str:
        return hmac.digest(self._key, f"{email}\n{hashed}".encode(), "sha256")[:12].hex()


def _harmless(errors: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the messages by field; of names that are none of ours, a few that cannot be a secret."""
    kept: dict[str, list[str]] = {}
    unknown = []
    for name, told in errors.items():
        if name in ImportedSchema._declared_fields:  # noqa: SLF001  # marshmallow has no other list of them
            kept[name] = told if isinstance(told, list) else [part for some in told.values() for part in some]
        elif name == "_schema":
            kept["line"] = ["Must be a JSON object."]
        else:
            unknown.append(name)
    if unknown:
        named = [name for name in unknown if _HARMLESS_NAME.fullmatch(name)][:MOST_NAMED]
        kept["line"] = [f"Has unknown fields{': ' if named else ''}{', '.join(named)}."]
    return kept
