"""The fields that describe a user, and what is accepted in them."""

import datetime
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import phonenumbers
from flask import current_app
from marshmallow import ValidationError, fields

from pixora import clock, emails

EARLIEST_BIRTHDAY = datetime.date(1900, 1, 1)

# The controls of C0 and C1, the line and paragraph separators, and those that turn the direction of the text
# around them, which make one name look like another.
CONTROLS = "\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069"
_CONTROL = re.compile(f"[{CONTROLS}]")
_BLANK = "\u115f\u1160\u3164\uffa0\u2800\U0001d159"
"""Letters and symbols by their Unicode category, but blank: Hangul fillers, the empty Braille pattern, a note without a
head. Other invisible characters, such as zero-width spaces and variation selectors, are in categories of their own."""
_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")

LIMIT_MESSAGE = "Must be a number from 1 to 100."


class Text(fields.String):
    """A string that can be stored and sent: no NUL, no lone surrogate (RFC 7493, section 2.1).

    Its length is checked before anything else is done with it. A subclass that normalises, parses or searches the text,
    in more than linear time, sets `longest` so that this takes a millisecond or two at most.

    Attributes:
        longest: Characters of a text before it is worked on; a longer one is refused. None: as the body may have.
        too_long: The message then.

    """

    longest: int | None = None
    too_long = "Must have at most {longest} characters."

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"pattern": r"^[^\x00]*$"} | kwargs.pop("metadata", {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if self.longest and isinstance(value, str | bytes) and len(value) > self.longest:
            raise ValidationError(self.too_long.format(longest=self.longest))
        text = super()._deserialize(value, attr, data, **kwargs)
        if _UNSTORABLE.search(text):
            raise ValidationError("Must not contain NUL or lone surrogates.")
        return str(text)


class PersonName(Text):
    """1 to 100 characters after trimming, in NFC, without control characters, and one of them at least is visible."""

    longest = 400  # before NFC, which makes one character of up to four
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


class TypedEmail(Text):
    """An address by which an account is looked for. What is no address, or too long for one, is one that nobody has."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        return super()._deserialize(value, attr, data, **kwargs).strip()


class Email(Text):
    """An address by RFC 5321 and 6531 that could exist on the Internet, returned in its canonical form."""

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


class Contact(Text):
    """A telephone number, returned as E.164. Without a `+` it is read as one of `PHONE_DEFAULT_REGION`."""

    longest = 50  # at 250 characters `phonenumbers` takes 0.1 s for some

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"format": "phone"} | kwargs.pop("metadata", {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        region = current_app.config["PHONE_DEFAULT_REGION"]
        no_number = (
            "Must be a telephone number." if region else "Must be a telephone number with its country code, as in +44."
        )
        # The parameters of RFC 3966: no E.164 number needs one, and for `;phone-context=` the regular expression of
        # `phonenumbers` takes exponential time.
        if ";" in text:
            raise ValidationError(no_number)
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException as error:
            raise ValidationError(no_number) from error
        if not phonenumbers.is_valid_number(number):
            raise ValidationError("Is not a telephone number in use.")
        if number.extension:  # E.164 has no place for it, and to drop it would lose it
            raise ValidationError("Must not have an extension.")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class Birthday(Text):
    """A date in the past, not before 1900, as `YYYY-MM-DD`; stays a string, as it is stored."""

    longest = 10
    too_long = "Must be a date that exists, as YYYY-MM-DD."

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"format": "date"} | kwargs.pop("metadata", {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            # Only this form: fromisoformat would take 19900101 and 1990-W01-1 as well.
            birthday = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC).date()
        except ValueError as error:
            raise ValidationError(self.too_long) from error
        if text != birthday.isoformat():
            raise ValidationError(self.too_long)
        if not EARLIEST_BIRTHDAY <= birthday < clock.utcnow().date():
            raise ValidationError(f"Must be in the past and not before {EARLIEST_BIRTHDAY}.")
        return text


class Limit(fields.Integer):
    """How much to return, from 1 to 100, in decimal digits: Python's own idea of a number has signs, blanks and `_`."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not re.fullmatch("0{0,9}([1-9][0-9]?|100)", value):
            raise ValidationError(LIMIT_MESSAGE)
        return int(value)


class Timestamp(fields.Field[datetime.datetime]):
    """A time, written as RFC 3339 in UTC with milliseconds and `Z`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"type": "string", "format": "date-time"} | kwargs.pop("metadata", {}), **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return (
            None
            if value is None
            else value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )


def _is_visible(character: str) -> bool:
    """Tell whether there is anything to see of a character that stands alone: a letter, number, sign or symbol."""
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK
