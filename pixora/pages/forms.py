"""The forms of the pages: path, texts and fields."""

from typing import NamedTuple

from marshmallow import Schema, validate

from pixora.auth.schemas import ConfirmResetSchema, OneTimeTokenSchema, Password
from pixora.mail.rendering import NEW_LINK_PATH
from pixora.pages import texts
from pixora.tokens.one_time import Purpose
from pixora.web.fields import TypedEmail


class VerifyEmailSchema(OneTimeTokenSchema):
    """The token of a link, and the current password."""

    password = Password(required=True)


class NewLinkSchema(Schema):
    """The credentials of a user who needs a new link."""

    email = TypedEmail(required=True)
    password = Password(required=True)


class ForgotPasswordSchema(Schema):
    """The address of a user who has forgotten the password."""

    email = TypedEmail(required=True, validate=validate.Length(1))


class Form(NamedTuple):
    """A form, which brings the token of a link with `purpose`, or else asks for the e-mail address.

    The token comes from a hidden field and alone authorizes the form; cookies play no part.
    """

    path: str
    purpose: Purpose
    texts: texts.FormTexts
    schema: type[Schema]
    password_field: str | None
    has_token: bool = True


VERIFY_EMAIL = Form("/verify-email", Purpose.VERIFY_EMAIL, texts.VERIFY_EMAIL, VerifyEmailSchema, "password")
NEW_LINK = Form(NEW_LINK_PATH, Purpose.VERIFY_EMAIL, texts.NEW_LINK, NewLinkSchema, "password", has_token=False)
RESET_PASSWORD = Form(
    "/reset-password", Purpose.RESET_PASSWORD, texts.RESET_PASSWORD, ConfirmResetSchema, "new_password"
)
FORGOT_PASSWORD = Form(
    texts.FORGOT_PASSWORD_PATH,
    Purpose.RESET_PASSWORD,
    texts.FORGOT_PASSWORD,
    ForgotPasswordSchema,
    None,
    has_token=False,
)
ACCEPT_INVITATION = Form(
    "/accept-invitation", Purpose.INVITATION, texts.ACCEPT_INVITATION, ConfirmResetSchema, "new_password"
)
CONFIRM_EMAIL = Form("/confirm-email", Purpose.CHANGE_EMAIL, texts.CONFIRM_EMAIL, OneTimeTokenSchema, None)

FORMS = {
    form.path: form
    for form in (VERIFY_EMAIL, NEW_LINK, RESET_PASSWORD, FORGOT_PASSWORD, ACCEPT_INVITATION, CONFIRM_EMAIL)
}
