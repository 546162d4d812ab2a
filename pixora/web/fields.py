"""The marshmallow fields that describe a user, with the rules of each."""

import datetime
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import phonenumbers
from flask import current_app
from marshmallow import ValidationError, fields, missing

from pixora import clock, emails
from pixora.web import languages

EARLIEST_BIRTHDAY = datetime.date(1900, 1, 1)

# C0 and C1, line and paragraph separators, and bidirectional controls, which make one name look like another.
CONTROLS = "\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069"
_CONTROL = re.compile(f"[{CONTROLS}]")
_BLANK = "\u115f\u1160\u3164\uffa0\u2800\U0001d159"
"""Invisible characters that Unicode classifies as letters or symbols: Hangul fillers, the empty Braille pattern, the
null notehead."""
UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")

LIMIT_MESSAGE = "Must be a number from 1 to 100."


class Text(fields.String):
    """A string that can be stored and sent: no NUL, no lone surrogate (RFC 7493, section 2.1).

    The length is checked first. A subclass that normalises, parses or searches in more than linear time sets `longest`
    so that this takes two milliseconds at most.

    Attributes:
        longest: The most characters, before normalisation. None: limited by the size of the body.
        too_long: The message for longer text.

    """

    longest: int | None = None
    too_long = "Must have at most {longest} characters."

    def __init__(self, **kwargs: Any) -> None:
        metadata = kwargs.pop("metadata", {})
        if "format" not in metadata or metadata["format"] == "password":  # other formats have no NUL
            metadata = {"pattern": r"^[^\x00]*$"} | metadata
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if self.longest and isinstance(value, str | bytes) and len(value) > self.longest:
            raise ValidationError(self.too_long.format(longest=self.longest))
        text = super()._deserialize(value, attr, data, **kwargs)
        if UNSTORABLE.search(text):
            raise ValidationError("Must not contain NUL or lone surrogates.")
        return str(text)


class Personal(fields.String):
    """A field of the profile that users may lack unless `REQUIRED_FIELDS` names it; it is null then.

    In a request, `required` has an effect only where `REQUIRED_FIELDS` names the field; elsewhere null is accepted too.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dump_default=None, **kwargs)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Return the value, unless it is missing or null and may be."""
        if (value is None or value is missing) and self.name not in current_app.config["REQUIRED_FIELDS"]:
            return value
        return super().deserialize(value, attr, data, **kwargs)


class Name(Text):
    """1 to 100 characters after trimming, in NFC, at least one of them visible and none a control character."""

    longest = 400  # NFC composes up to four characters into one
    too_long = "Must have between 1 and 100 characters."

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"minLength": 1, "maxLength": 100, "pattern": f"^[^{CONTROLS}]*[^\\s{CONTROLS}][^{CONTROLS}]*$"}
        super().__init__(metadata=metadata | kwargs.pop("metadata", {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        name = unicodedata.normalize("NFC", super()._deserialize(value, attr, data, **kwargs)).strip()
        if _CONTROL.search(name):
            raise ValidationError("Must not contain control characters.")
        if not 1 <= len(name) <= 100:
            raise ValidationError(self.too_long)
        if not any(map(_is_visible, name)):
            raise ValidationError("Must have at least one visible character.")
        return name


class PersonName(Personal, Name):
    """A name of a person."""


class TypedEmail(Text):
    """An address to look up an account by. It is not validated: no account has an invalid one."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        return super()._deserialize(value, attr, data, **kwargs).strip()


class Email(Text):
    """A valid address, see `pixora.emails.validate`, deserialized to its canonical form."""

    longest = emails.LONGEST
    too_long = f"Must have at most {emails.LONGEST_CANONICAL} characters."

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            metadata={"format": "email", "maxLength": emails.LONGEST_CANONICAL} | kwargs.pop("metadata", {}), **kwargs
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        typed = super()._deserialize(value, attr, data, **kwargs)
        try:
            return emails.validate(typed, allow_local_domains=current_app.config["PIXORA_ENV"] != "production")
        except ValueError as error:
            raise ValidationError(str(error)) from error


class Contact(Personal, Text):
    """A telephone number, deserialized to E.164. A number without `+` belongs to `PHONE_DEFAULT_REGION`."""

    longest = 50  # `phonenumbers` takes up to 0.1 s for 250 characters

    def __init__(self, **kwargs: Any) -> None:
        description = "A telephone number, stored as E.164. Needs a `+` unless the service has a region."
        super().__init__(metadata={"format": "phone", "description": description}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        region = current_app.config["PHONE_DEFAULT_REGION"]
        message = (
            "Must be a telephone number." if region else "Must be a telephone number with its country code, as in +44."
        )
        # The parameters of RFC 3966: E.164 needs none, and `;phone-context=` costs `phonenumbers` exponential time.
        if ";" in text:
            raise ValidationError(message)
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException as error:
            raise ValidationError(message) from error
        if not phonenumbers.is_valid_number(number):
            raise ValidationError("Is not a telephone number in use.")
        if number.extension:  # E.164 cannot hold it
            raise ValidationError("Must not have an extension.")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class Birthday(Personal, Text):
    """A date in the past, not before 1900, as `YYYY-MM-DD`. Stored as a string."""

    longest = 10
    too_long = "Must be an existing date in the form YYYY-MM-DD."

    def __init__(self, **kwargs: Any) -> None:
        description = f"In the past, not before {EARLIEST_BIRTHDAY}."
        super().__init__(metadata={"format": "date", "description": description}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            # fromisoformat would accept 19900101 and 1990-W01-1 as well.
            birthday = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC).date()
        except ValueError as error:
            raise ValidationError(self.too_long) from error
        if text != birthday.isoformat():
            raise ValidationError(self.too_long)
        if not EARLIEST_BIRTHDAY <= birthday < clock.utcnow().date():
            raise ValidationError(f"Must be in the past and not before {EARLIEST_BIRTHDAY}.")
        return text


class Locale(Text):
    """A language tag by BCP 47, as in `de` or `de-AT`, in its canonical case."""

    longest = languages.LONGEST
    too_long = "Must be a language tag, as in de or de-AT."

    def __init__(self, **kwargs: Any) -> None:
        metadata = {
            "maxLength": languages.LONGEST,
            "pattern": f"^{languages.TAG.pattern}$",
            "description": "The language of e-mails, by BCP 47.",
        }
        super().__init__(metadata=metadata | kwargs.pop("metadata", {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        try:
            return languages.canonical(super()._deserialize(value, attr, data, **kwargs))
        except ValueError as error:
            raise ValidationError(getattr(error, "messages", [self.too_long])) from error


class Limit(fields.Integer):
    """The size of a page, from 1 to 100, in decimal digits: Python also accepts signs, spaces and `_`."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not re.fullmatch("0{0,9}([1-9][0-9]?|100)", value):
            raise ValidationError(LIMIT_MESSAGE)
        return int(value)


class NextCursor(fields.String):
    """The cursor of the next page; null on the last page."""

    def __init__(self) -> None:
        description = "The cursor of the next page, for `after`; null on the last page."
        super().__init__(required=True, allow_none=True, metadata={"description": description})


class Time(fields.AwareDateTime):
    """A time with its offset, as in RFC 3339; loaded in UTC, to the millisecond."""

    default_error_messages = dict.fromkeys(
        ("invalid", "invalid_awareness"), "Must be a time with its offset, as in 2023-05-17T08:30:00Z."
    )
    out_of_range = "Must be in the years 1 to 9999."

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime.datetime:
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            time: datetime.datetime = super()._deserialize(value, attr, data, **kwargs).astimezone(datetime.UTC)
        except OverflowError as error:  # by its offset
            raise ValidationError(self.out_of_range) from error
        return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Flag(fields.Boolean):
    """True or false; no other value is coerced."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class QueryFlag(fields.Boolean):
    """True or false in a query, in lower case."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(truthy={"true"}, falsy={"false"}, **kwargs)


class Timestamp(fields.Field[datetime.datetime]):
    """A time, serialized by RFC 3339 in UTC with milliseconds and `Z`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"type": "string", "format": "date-time"} | kwargs.pop("metadata", {}), **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        if value is None:
            return None
        return timestamp(value)


def timestamp(time: datetime.datetime) -> str:
    """Return a time as the API has it: by RFC 3339, in UTC, with milliseconds and `Z`."""
    text = time.isoformat("T", "milliseconds")
    if not text.endswith("+00:00"):  # times from the database are in UTC, and conversion takes as long as formatting
        text = time.astimezone(datetime.UTC).isoformat("T", "milliseconds")
    return f"{text[:-6]}Z"


def one_of(*values: str) -> dict[str, Any]:
    """Return OpenAPI keywords for a string of a response that is one of these values, to which more may be added.

    A closed `enum` would break clients of some generators when a value is added.
    """
    return {"examples": list(values[:1]), "x_extensible_enum": list(values)}


def _is_visible(character: str) -> bool:
    """Tell whether a character is visible on its own: a letter, number, punctuation mark or symbol."""
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK
