"""Passkeys in an export."""

import base64
from typing import Literal

from marshmallow import Schema, fields

from pixora.accounts.documents import Passkey
from pixora.database.client import Document
from pixora.web.fields import Timestamp

BINARY: tuple[Literal["credential_id", "public_key"], ...] = ("credential_id", "public_key")


class ExportedPasskeySchema(Schema):
    """A passkey. Its key is public; the private one never leaves the authenticator."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    credential_id = fields.String(required=True, metadata={"description": "In base64url."})
    public_key = fields.String(required=True, metadata={"description": "A COSE key in base64url."})
    sign_count = fields.Integer(required=True)
    transports = fields.List(fields.String(), required=True)
    aaguid = fields.String(required=True)
    rp_id = fields.String(required=True)
    backup_eligible = fields.Boolean(required=True)
    backed_up = fields.Boolean(required=True)
    created_at = Timestamp(required=True)
    last_used_at = Timestamp(required=True, allow_none=True)
    reported_at = Timestamp(metadata={"description": "When an e-mail said that its counter went back."})


def describe(passkey: Passkey) -> Document:
    """Return a passkey with its binary fields as text."""
    return {**passkey, **{name: base64.urlsafe_b64encode(passkey[name]).decode().rstrip("=") for name in BINARY}}
