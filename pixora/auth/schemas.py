"""Requests and responses of `/api/auth`."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from pixora.factors.fields import CODE_OR_EMPTY, Code
from pixora.passkeys.schemas import AssertionCredentialSchema
from pixora.passwords import policy, verify
from pixora.services import services
from pixora.web.configured import Configured
from pixora.web.fields import Birthday, Contact, Email, Locale, PersonName, Text, TypedEmail, one_of

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
SIGNUP_MESSAGE = {"message": "Thank you. We sent an e-mail to this address that says how to go on."}
VERIFY_MESSAGE = {"message": "If the address is not verified yet, we sent a link to it."}
RESET_MESSAGE = {"message": "If there is an account with this address, we sent a link to it."}
TOKEN_EXAMPLE = {
    "access_token": "eyJhbGciOiJIUzI1NiIs…",
    "token_type": "bearer",
    "expires_in": 900,
    "refresh_token": REFRESH_EXAMPLE["refresh_token"],
}


CLIENT_ID = re.compile(r"[\x20-\x7e]{1,255}\Z")
"""RFC 6749, appendix A.1; the length is ours, because access tokens carry it."""


REQUIRED_UNLESS_REMOVED = (
    "Required, unless the account has no password: then a recent login with a passkey takes its place."
)


class Password(Text):
    """The current password of an account."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"format": "password"} | kwargs.pop("metadata", {}), **kwargs)


class NewPassword(Text):
    """A new password of acceptable length. Its strength is checked in the hashing queue, by `credentials.hash_new`."""

    keywords_from_settings: ClassVar = {"minLength": "PASSWORD_MIN_LENGTH"}  # for pixora.web.openapi

    def __init__(self, **kwargs: Any) -> None:
        metadata: dict[str, Any] = {
            "format": "password",
            "maxLength": verify.MAX_BYTES,
            "description": "At most 72 bytes in UTF-8. There are no composition rules, but zxcvbn must not find the "
            "password easy to guess (score under 3, given the user's names and e-mail), and names, e-mail and digits "
            "alone are not enough. Neither trimmed nor normalised.",
        }
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        password = super()._deserialize(value, attr, data, **kwargs)
        try:
            policy.check_length(password, services.settings.password_min_length)
        except policy.PasswordRejected as error:
            raise ValidationError(error.messages) from error
        return password


class NewProfileSchema(Schema):
    """The profile of a new user."""

    first_name = PersonName(required=True)
    last_name = PersonName(required=True)
    email = Email(required=True)
    contact = Contact(required=True)
    birthday = Birthday(required=True)
    locale = Locale()


class SignupSchema(NewProfileSchema):
    """A new account."""

    password = NewPassword(required=True)
    locale = Locale(
        metadata={"description": "The language of e-mails (BCP 47); without it, that of the header Accept-Language."}
    )


class CreatedSchema(Schema):
    """A new user."""

    message = fields.String(required=True)
    id = fields.String(required=True, metadata={"description": "24 hexadecimal digits."})


class StatusMessageSchema(Schema):
    """A message for the user."""

    message = fields.String(required=True)


class OneTimeTokenSchema(Schema):
    """A one-time token."""

    token = Text(required=True, metadata={"description": "The token from the link."})


class ReauthenticateSchema(Schema):
    """What proves that it is the user: the password or, where passkeys are turned on, a passkey."""

    password = Password()
    code = Code(metadata={"description": "The code of the authenticator app, for users who have one."})
    credential = Configured(
        "WEBAUTHN_ORIGINS",
        AssertionCredentialSchema,
        metadata={"description": "In place of the other fields: what a passkey has signed."},
    )

    @validates_schema
    def _require_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if "credential" in data and len(data) > 1:
            raise ValidationError("Must be sent without other fields.", "credential")
        if "credential" not in data and "password" not in data:
            raise ValidationError("Missing data for required field.", "password")


class ConfirmVerificationSchema(OneTimeTokenSchema):
    """A one-time token and the password of the account."""

    password = Password(metadata={"description": REQUIRED_UNLESS_REMOVED})


class RequestResetSchema(Schema):
    """The account whose password is lost."""

    email = TypedEmail(required=True, metadata={"description": "The e-mail address; case does not matter."})


class ConfirmResetSchema(OneTimeTokenSchema):
    """A one-time token and a new password."""

    new_password = NewPassword(required=True)


class OAuthFormSchema(Schema):
    """A form of OAuth, which ignores unknown parameters (RFC 6749, section 3.2)."""

    class Meta:
        unknown = EXCLUDE


class GrantSchema(OAuthFormSchema):
    """Parameters of every grant (RFC 6749, section 2.3.1). There is no registry of clients, and there are no scopes."""

    client_id = Text(
        validate=validate.Regexp(CLIENT_ID, error="Must have at most 255 characters, printable ASCII."),
        metadata={
            "pattern": "^[\\x20-\\x7e]*$",
            "maxLength": 255,
            "description": "How the client calls itself, for the claim `client_id`. Not verified.",
        },
    )
    client_secret = Text(metadata={"description": "Leave it empty: there are no clients with secrets."})
    scope = Text(metadata={"description": "Ignored."})


class LoginSchema(GrantSchema):
    """A password grant (RFC 6749, section 4.3.2)."""

    username = TypedEmail(
        required=True, metadata={"minLength": 1, "description": "The e-mail address; case does not matter."}
    )
    password = Password(required=True, metadata={"minLength": 1})
    grant_type = fields.String(validate=validate.Equal("password"), metadata={"enum": ["password"]})
    otp = Code(
        metadata={
            "description": "The code of the authenticator app, for users who have one.",
            "pattern": CODE_OR_EMPTY,
        }
    )


class RefreshSchema(GrantSchema):
    """A refresh token grant (RFC 6749, section 6)."""

    grant_type = fields.String(
        required=True, validate=validate.Equal("refresh_token"), metadata={"enum": ["refresh_token"]}
    )
    refresh_token = Text(required=True, metadata={"minLength": 1, "description": "The latest one."})


class TokenSchema(Schema):
    """An access token and a refresh token (RFC 6749, section 5.1)."""

    access_token = fields.String(required=True, metadata={"description": "A JWT for the Authorization header."})
    token_type = fields.String(required=True, metadata=one_of("bearer"))
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds until the access token expires."})
    refresh_token = fields.String(required=True, metadata={"description": "Opaque. Can be exchanged once."})
