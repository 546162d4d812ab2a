"""What clients send to sign up and log in, and what they get."""

from typing import Any

from flask import current_app
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from pixora import passwords
from pixora.users.fields import Birthday, Contact, Email, PersonName, Text

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
TOKEN_EXAMPLE = {"access_token": "eyJhbGciOiJIUzI1NiIs…", "token_type": "bearer", "expires_in": 900}


class SignupSchema(Schema):
    """A new account."""

    first_name = PersonName(required=True)
    last_name = PersonName(required=True)
    email = Email(required=True)
    password = Text(
        required=True,
        metadata={
            "format": "password",
            "maxLength": passwords.MAX_BYTES,
            "description": "At most 72 bytes in UTF-8, no rules of composition, but not one that zxcvbn finds easy to "
            "guess (a score under 3, the names and e-mail known). Neither trimmed nor normalised.",
        },
    )
    contact = Contact(
        required=True,
        metadata={"description": "A telephone number, stored as E.164; without + only where the service has a region."},
    )
    birthday = Birthday(required=True, metadata={"description": "In the past, not before 1900-01-01."})

    @validates_schema
    def _check_password(self, data: dict[str, Any], **kwargs: Any) -> None:
        first, last = data["first_name"], data["last_name"]
        known_words = (first, last, first + last, data["email"])
        try:
            passwords.check_policy(data["password"], current_app.config["PASSWORD_MIN_LENGTH"], known_words)
        except passwords.PasswordRejected as error:
            raise ValidationError({"password": error.messages}) from error


class CreatedSchema(Schema):
    """A user has been created."""

    message = fields.String(required=True)
    id = fields.String(required=True, metadata={"description": "24 hexadecimal digits."})


class LoginSchema(Schema):
    """The form of the password grant (RFC 6749, section 4.3.2)."""

    username = Text(required=True, metadata={"description": "The e-mail address, in any case."})
    password = Text(required=True, metadata={"format": "password"})
    grant_type = fields.String(validate=validate.Equal("password"), metadata={"enum": ["password"]})
    scope = Text(metadata={"description": "Accepted for OAuth clients' sake; there are no scopes."})


class TokenSchema(Schema):
    """An access token (RFC 6749, section 5.1)."""

    access_token = fields.String(required=True, metadata={"description": "A JWT, for the Authorization header."})
    token_type = fields.String(required=True, metadata={"enum": ["bearer"]})
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})
