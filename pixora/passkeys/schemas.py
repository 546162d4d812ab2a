"""Requests and responses of passkeys: the JSON forms of WebAuthn, level 3 (sections 5.1.8 to 5.1.10)."""

from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate

from pixora.passkeys.credentials import Assertion, Attestation
from pixora.passkeys.fields import Base64Url
from pixora.web.fields import Name, Text, Timestamp
from pixora.web.lists import ShortList

MAX_ID, MAX_CLIENT_DATA, MAX_OBJECT, MAX_SIGNATURE, MAX_HANDLE = 1023, 4096, 4096, 1024, 64
"""Bytes. A credential id and a user handle are limited by the standard; the others are ours, several times as long as
real ones, and parsed within four milliseconds."""

ID = "mVnTqOdIbSDUoJ8RQRLPPg"
CHALLENGE = "AAABmr0TyGgxMjM0NTY3ODkwYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoOEhYY"
CLIENT_DATA = "eyJ0eXBlIjoid2ViYXV0aG4uZ2V0IiwiY2hhbGxlbmdlIjoiQUFBIn0"
PASSKEY_EXAMPLE = {
    "id": "6924a1e0c3f1a2b4d5e6f70a",
    "name": "Telephone",
    "credential_id": ID,
    "transports": ["hybrid", "internal"],
    "aaguid": "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4",
    "backed_up": True,
    "created_at": "2026-11-24T09:30:00.000Z",
    "last_used_at": "2026-11-24T11:02:17.354Z",
}
NAME_EXAMPLE = {"name": "Telephone"}
CREATION_EXAMPLE = {
    "rp": {"id": "example.com", "name": "Example"},
    "user": {"id": "NjkyNGExZTBjM2YxYTJiNGQ1ZTZmNzA4", "name": "ada@example.com", "displayName": "Ada Lovelace"},
    "challenge": CHALLENGE,
    "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
    "timeout": 300000,
    "excludeCredentials": [{"type": "public-key", "id": ID, "transports": ["internal"]}],
    "authenticatorSelection": {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    },
    "attestation": "none",
    "extensions": {"credProps": True},
}
REQUEST_EXAMPLE = {
    "challenge": CHALLENGE,
    "timeout": 300000,
    "rpId": "example.com",
    "allowCredentials": [],
    "userVerification": "required",
}
REAUTHENTICATION_EXAMPLE = REQUEST_EXAMPLE | {
    "allowCredentials": [{"type": "public-key", "id": ID, "transports": ["internal"]}]
}
REGISTRATION_EXAMPLE = {
    "name": "Telephone",
    "credential": {
        "id": ID,
        "rawId": ID,
        "type": "public-key",
        "response": {"clientDataJSON": CLIENT_DATA, "attestationObject": "o2NmbXRkbm9uZQ", "transports": ["internal"]},
    },
}
LOGIN_EXAMPLE = {
    "credential": {
        "id": ID,
        "rawId": ID,
        "type": "public-key",
        "response": {
            "clientDataJSON": CLIENT_DATA,
            "authenticatorData": "SZYN5YgOjGh0NBcPZHZgW4_krrmihjLHmVzzuoMdl2MdAAAAAA",
            "signature": "MEUCIQDNrG8",
            "userHandle": "NjkyNGExZTBjM2YxYTJiNGQ1ZTZmNzA4",
        },
    }
}


class StandardSchema(Schema):
    """A dictionary of the standard, which may get new members."""

    class Meta:
        """Ignore the members that we do not use."""

        unknown = EXCLUDE


class AttestationResponseSchema(StandardSchema):
    """`AuthenticatorAttestationResponseJSON`."""

    clientDataJSON = Base64Url(MAX_CLIENT_DATA, required=True)  # noqa: N815  # the standard's name
    attestationObject = Base64Url(MAX_OBJECT, required=True)  # noqa: N815
    transports = ShortList(Text(validate=validate.Length(max=32)), 10)


class AssertionResponseSchema(StandardSchema):
    """`AuthenticatorAssertionResponseJSON`."""

    clientDataJSON = Base64Url(MAX_CLIENT_DATA, required=True)  # noqa: N815
    authenticatorData = Base64Url(MAX_OBJECT, required=True)  # noqa: N815
    signature = Base64Url(MAX_SIGNATURE, required=True)
    userHandle = Base64Url(MAX_HANDLE, allow_none=True)  # noqa: N815


class CredentialSchema(StandardSchema):
    """What both kinds of credentials have. `id` and `rawId` are the same bytes."""

    json_schema: ClassVar = {"additionalProperties": True}

    id = Base64Url(MAX_ID, required=True)
    rawId = Base64Url(MAX_ID)  # noqa: N815
    type = fields.String(required=True, validate=validate.OneOf(["public-key"], error="Must be public-key."))


class AttestationCredentialSchema(CredentialSchema):
    """`RegistrationResponseJSON`: what `credential.toJSON()` returns after `navigator.credentials.create()`."""

    response = fields.Nested(AttestationResponseSchema, required=True)

    @post_load
    def _to_attestation(self, data: dict[str, Any], **_: Any) -> Attestation:
        response = data["response"]
        return Attestation(
            _same_id(data),
            response["clientDataJSON"],
            response["attestationObject"],
            list(dict.fromkeys(response.get("transports", []))),
        )


class AssertionCredentialSchema(CredentialSchema):
    """`AuthenticationResponseJSON`: what `credential.toJSON()` returns after `navigator.credentials.get()`."""

    response = fields.Nested(AssertionResponseSchema, required=True)

    @post_load
    def _to_assertion(self, data: dict[str, Any], **_: Any) -> Assertion:
        response = data["response"]
        return Assertion(
            _same_id(data),
            response["clientDataJSON"],
            response["authenticatorData"],
            response["signature"],
            response.get("userHandle"),
        )


def _same_id(data: dict[str, Any]) -> bytes:
    credential_id: bytes = data["id"]
    if data.get("rawId", credential_id) != credential_id:
        raise ValidationError({"rawId": ["Must be the same as id."]})
    return credential_id


class RegistrationSchema(Schema):
    """A new passkey."""

    name = Name(metadata={"description": "To recognize it by; `Passkey` by default."})
    credential = fields.Nested(AttestationCredentialSchema, required=True)


class PasskeyLoginSchema(Schema):
    """A login with a passkey."""

    credential = fields.Nested(AssertionCredentialSchema, required=True)


class RenamePasskeySchema(Schema):
    """A new name of a passkey."""

    name = Name(required=True)


class PasskeySchema(Schema):
    """A passkey."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    credential_id = Base64Url(
        MAX_ID, required=True, metadata={"description": "Its id at the authenticator, for the signals of WebAuthn."}
    )
    transports = fields.List(fields.String(), required=True)
    aaguid = fields.String(required=True, metadata={"description": "The model of the authenticator; zeros if unknown."})
    backed_up = fields.Boolean(
        required=True, metadata={"description": "Whether it was synchronized to other devices at the last login."}
    )
    created_at = Timestamp(required=True)
    last_used_at = Timestamp(required=True, allow_none=True, metadata={"description": "Null until its first login."})


class CreationOptionsSchema(Schema):
    """`PublicKeyCredentialCreationOptionsJSON`."""

    rp = fields.Dict(required=True)
    user = fields.Dict(required=True)
    challenge = fields.String(required=True)
    pubKeyCredParams = fields.List(fields.Dict(), required=True)  # noqa: N815
    timeout = fields.Integer(required=True, metadata={"description": "Milliseconds."})
    excludeCredentials = fields.List(fields.Dict(), required=True)  # noqa: N815
    authenticatorSelection = fields.Dict(required=True)  # noqa: N815
    attestation = fields.String(required=True)
    extensions = fields.Dict(required=True)


class RequestOptionsSchema(Schema):
    """`PublicKeyCredentialRequestOptionsJSON`."""

    challenge = fields.String(required=True)
    timeout = fields.Integer(required=True, metadata={"description": "Milliseconds."})
    rpId = fields.String(required=True)  # noqa: N815
    allowCredentials = fields.List(fields.Dict(), required=True)  # noqa: N815
    userVerification = fields.String(required=True)  # noqa: N815
