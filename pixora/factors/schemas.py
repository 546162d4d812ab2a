"""Requests and responses of the second factor."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from pixora.auth.schemas import GrantSchema
from pixora.factors.errors import MFA_TOKEN
from pixora.factors.fields import Code, RecoveryCode
from pixora.web.fields import Text, Timestamp

CODE_EXAMPLE = {"code": "492 039"}
RECOVERY_CODES_EXAMPLE = {
    "recovery_codes": [
        *("k3v8-9w2m-x0tq-7hbn", "4e1z-rmk7-0j8s-vq2d", "9gxh-t5c3-2nfy-b60w", "7pd2-ja4v-k8z1-5msx"),
        *("0wq9-c6ty-e3hn-r81f", "b5m2-zx7k-g4ds-90vj", "3tfn-8hqp-y1wc-6ek4", "d7rz-2v0m-s9gb-x5ta"),
        *("q1ky-4nej-7c8h-w3p6", "6s0d-f9xv-m2bt-zgk5"),
    ]
}
FACTORS_EXAMPLE = {
    "totp": {"created_at": "2026-11-24T09:35:10.207Z", "last_used_at": "2026-11-26T17:04:30.000Z"},
    "recovery_codes": {"created_at": "2026-11-24T09:35:10.207Z", "left": 9},
}
NEW_SECRET_EXAMPLE = {
    "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    "uri": "otpauth://totp/Example:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Example",
    "qr_svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 228 228" class="segno">…</svg>',
    "expires_in": 600,
}
MFA_EXAMPLE = {
    "mfa_token": MFA_TOKEN,
    "code": "492039",
}


class MfaSchema(GrantSchema):
    """The second step of a login: the token of the first one, and one code of either kind."""

    mfa_token = Text(required=True, metadata={"description": "From the `mfa_required` problem of the login."})
    code = Code()
    recovery_code = RecoveryCode()

    @validates_schema
    def _require_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("code" in data) == ("recovery_code" in data):
            raise ValidationError("Send either code or recovery_code.", "code")


class ConfirmTotpSchema(Schema):
    """The first code of a new authenticator app."""

    code = Code(required=True)


class TotpSchema(Schema):
    """An authenticator app."""

    created_at = Timestamp(required=True)
    last_used_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "The time of the last accepted code; null for an imported app that was not used yet."},
    )


class RecoveryCodesLeftSchema(Schema):
    """The recovery codes that are left."""

    created_at = Timestamp(required=True)
    left = fields.Integer(required=True, metadata={"description": "How many can still be used."})


class FactorsSchema(Schema):
    """One's own second factors; null for what there is not."""

    totp = fields.Nested(TotpSchema, required=True, allow_none=True)
    recovery_codes = fields.Nested(RecoveryCodesLeftSchema, required=True, allow_none=True)


class NewSecretSchema(Schema):
    """A secret for an authenticator app, which becomes a second factor with its first code."""

    secret = fields.String(required=True, metadata={"description": "In base32, to be typed."})
    uri = fields.String(required=True, metadata={"description": "An `otpauth://` URI."})
    qr_svg = fields.String(required=True, metadata={"description": "The URI as a QR code in SVG."})
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds to confirm it."})


class RecoveryCodesSchema(Schema):
    """Recovery codes, which are shown only once."""

    recovery_codes = fields.List(
        fields.String(), required=True, metadata={"description": "Ten codes, each of which works once."}
    )
