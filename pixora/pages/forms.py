"""The forms on the pages: where each leads, what it takes, and what it does."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from flask import request
from marshmallow import Schema

from pixora.auth import email_change, recovery, verification
from pixora.auth.schemas import NewPassword, Password
from pixora.mail.rendering import PAGES
from pixora.pages import words
from pixora.tokens.one_time import Purpose
from pixora.web.fields import Text


class Form(NamedTuple):
    """A form.

    Attributes:
        path: Where it is, and is sent to.
        purpose: Of the token in its link.
        words: What the page says.
        schema: The fields; `token` is hidden, and the capability: who has it may send the form, and no cookie counts.
        field: The name of the password's field, if there is one.
        submit: What it does with the fields.

    """

    path: str
    purpose: Purpose
    words: words.Words
    schema: type[Schema]
    field: str | None
    submit: Callable[[Mapping[str, str]], None]


class ConfirmEmailSchema(Schema):
    """Use a new address."""

    token = Text(required=True)


class VerifyEmailSchema(ConfirmEmailSchema):
    """Confirm an address."""

    password = Password(required=True)


class ResetPasswordSchema(ConfirmEmailSchema):
    """Choose a new password."""

    new_password = NewPassword(required=True)


FORMS = (
    Form(
        PAGES[Purpose.VERIFY_EMAIL],
        Purpose.VERIFY_EMAIL,
        words.VERIFY_EMAIL,
        VerifyEmailSchema,
        "password",
        lambda fields: verification.confirm(fields["token"], fields["password"], request.remote_addr),
    ),
    Form(
        PAGES[Purpose.RESET_PASSWORD],
        Purpose.RESET_PASSWORD,
        words.RESET_PASSWORD,
        ResetPasswordSchema,
        "new_password",
        lambda fields: recovery.reset_password(fields["token"], fields["new_password"]),
    ),
    Form(
        PAGES[Purpose.CHANGE_EMAIL],
        Purpose.CHANGE_EMAIL,
        words.CONFIRM_EMAIL,
        ConfirmEmailSchema,
        None,
        lambda fields: email_change.confirm(fields["token"]),
    ),
)
