"""What clients send to sign up and log in, and what they get."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from pixora.passwords import policy, verify
from pixora.services import services
from pixora.web.fields import Birthday, Contact, Email, PersonName, Text, TypedEmail

SIGNUP_EXAMPLE = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.com",
    "password": "difference-engine-no-2",
    "contact": "+44 20 7946 0958",
    "birthday": "1990-12-10",
}
CREATED_EXAMPLE = {"message": "User created successfully", "id": "6924a1e0c3f1a2b4d5e6f708"}
LOGIN_EXAMPLE = {"username": "ada@example.com", "password": "difference-engine-no-2", "grant_type": "password"}
REFRESH_EXAMPLE = {
    "grant_type": "refresh_token",
    "refresh_token": "aSSh4MPxorTV5vcIaSSh4MPxorTV5vcIAAAAAMu1Gr9pD4cVj3e8yQ0n2mZ6tX5wLr7sUo1KfHbNiEaQ",
}
ONE_TIME_TOKEN_EXAMPLE = {"token": "aSSh4MPxorTV5vcI2mZ6tX5wLr7sUo1KfHbNiEaQMu1Gr9pD4cVj3e8yQ0nE"}
PASSWORD_EXAMPLE = {"password": "difference-engine-no-2"}
CONFIRM_VERIFICATION_EXAMPLE = ONE_TIME_TOKEN_EXAMPLE | PASSWORD_EXAMPLE
REQUEST_RESET_EXAMPLE = {"email": "ada@example.com"}
CONFIRM_RESET_EXAMPLE = ONE_TIME_TOKEN_EXAMPLE | {"new_password": "analytical-engine-no-1"}
CHANGE_PASSWORD_EXAMPLE = {"current_password": "difference-engine-no-2", "new_password": "analytical-engine-no-1"}
CHANGE_EMAIL_EXAMPLE = {"email": "ada.lovelace@example.com"} | PASSWORD_EXAMPLE
SIGNUP_MESSAGE = {"message": "Thank you. A letter to this address says how to go on."}
VERIFY_MESSAGE = {"message": "Unless the address is verified already, a letter is on its way to it."}
RESET_MESSAGE = {"message": "If there is an account with this address, a letter is on its way to it."}
CHANGE_EMAIL_MESSAGE = {
    "message": "A letter is on its way to the new address. The old one stays until its link is opened."
}
TOKEN_EXAMPLE = {
    "access_token": "eyJhbGciOiJIUzI1NiIs…",
    "token_type": "bearer",
    "expires_in": 900,
    "refresh_token": REFRESH_EXAMPLE["refresh_token"],
}


class NewPassword(Text):
    """A password that is being set."""

    keywords_from_settings: ClassVar = {"minLength": "PASSWORD_MIN_LENGTH"}  # for pixora.web.openapi

    def __init__(self, **kwargs: Any) -> None:
        metadata = {
            "format": "password",
            "maxLength": verify.MAX_BYTES,
            "description": "At most 72 bytes in UTF-8, no rules of composition, but not one that zxcvbn finds easy to "
            "guess (a score under 3, the names and e-mail known), nor one made of these and digits alone. Neither "
            "trimmed nor normalised.",
        }
        super().__init__(metadata=metadata, **kwargs)


class Password(Text):
    """The password of an account, as its owner types it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"format": "password"}, **kwargs)


class SignupSchema(Schema):
    """A new account."""

    first_name = PersonName(required=True)
    last_name = PersonName(required=True)
    email = Email(required=True)
    password = NewPassword(required=True)
    contact = Contact(
        required=True,
        metadata={"description": "A telephone number, stored as E.164; without + only where the service has a region."},
    )
    birthday = Birthday(required=True, metadata={"description": "In the past, not before 1900-01-01."})

    @validates_schema
    def _check_password(self, data: dict[str, Any], **kwargs: Any) -> None:
        # Its length only: whether it is easy to guess takes longer to find out, and comes after the throttle.
        try:
            policy.check_length(data["password"], services.settings.password_min_length)
        except policy.PasswordRejected as error:
            raise ValidationError({"password": error.messages}) from error


class CreatedSchema(Schema):
    """A user has been created."""

    message = fields.String(required=True)
    id = fields.String(required=True, metadata={"description": "24 hexadecimal digits."})


class MessageSchema(Schema):
    """What has been done, or would have been."""

    message = fields.String(required=True)


class OneTimeTokenSchema(Schema):
    """The token from the link in a letter."""

    token = Text(required=True, metadata={"description": "As it stands in the link."})


class ConfirmVerificationSchema(OneTimeTokenSchema):
    """The token, and the password that was signed up with."""

    password = Password(required=True)


class RequestResetSchema(Schema):
    """Whose password is lost."""

    email = TypedEmail(required=True, metadata={"description": "The e-mail address, in any case."})


class ConfirmResetSchema(OneTimeTokenSchema):
    """The token, and the new password."""

    new_password = NewPassword(required=True)


class ChangePasswordSchema(Schema):
    """The password as it is and as it shall be."""

    current_password = Password(required=True)
    new_password = NewPassword(required=True)


class ChangeEmailSchema(Schema):
    """The address as it shall be."""

    email = Email(required=True)
    password = Password(required=True)


class DeleteAccountSchema(Schema):
    """What proves that the owner means it."""

    password = Password(required=True)


class GrantSchema(Schema):
    """What any OAuth client may send (RFC 6749, section 2.3.1), though there are no clients and no scopes here."""

    client_id = Text(metadata={"description": "Not looked at."})
    client_secret = Text(metadata={"description": "Not looked at."})
    scope = Text(metadata={"description": "Not looked at."})


class LoginSchema(GrantSchema):
    """The form of the password grant (RFC 6749, section 4.3.2)."""

    username = TypedEmail(required=True, metadata={"description": "The e-mail address, in any case."})
    password = Password(required=True)
    grant_type = fields.String(validate=validate.Equal("password"), metadata={"enum": ["password"]})


class RefreshSchema(GrantSchema):
    """The form of the refresh grant (RFC 6749, section 6)."""

    grant_type = fields.String(
        required=True, validate=validate.Equal("refresh_token"), metadata={"enum": ["refresh_token"]}
    )
    refresh_token = Text(required=True, metadata={"description": "The one that came last."})


class TokenSchema(Schema):
    """A pair of tokens (RFC 6749, section 5.1)."""

    access_token = fields.String(required=True, metadata={"description": "A JWT, for the Authorization header."})
    token_type = fields.String(required=True, metadata={"enum": ["bearer"]})
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds the access token is good for."})
    refresh_token = fields.String(
        required=True, metadata={"description": "Opaque; good for one exchange at `POST /api/auth/refresh`."}
    )
