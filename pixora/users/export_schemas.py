"""The response of `/api/users/me/export`."""

from marshmallow import Schema, fields

from pixora.factors.schemas import FACTORS_EXAMPLE, FactorsSchema
from pixora.users.schemas import (
    EVENTS_EXAMPLE,
    EXAMPLE,
    SESSION_EXAMPLE,
    OwnSessionSchema,
    ProfileSchema,
    SecurityEventPageSchema,
)
from pixora.web.fields import Timestamp

EXPORT_EXAMPLE = {
    "exported_at": "2026-11-24T11:30:00.000Z",
    "profile": EXAMPLE,
    "sessions": [SESSION_EXAMPLE | {"generation": 7}],
    "pending": [
        {"purpose": "change_email", "email": "ada.lovelace@example.com", "expires_at": "2026-11-25T11:29:00.000Z"}
    ],
    "letters": [
        {
            "id": "5d1c0a97f3b24e68a1c2d3e4",
            "template": "email_changing",
            "to": "ada@example.com",
            "context": {"new_email": "ada.lovelace@example.com"},
            "created_at": "2026-11-24T11:29:00.000Z",
            "due_at": "2026-11-24T11:29:00.000Z",
            "attempts": 0,
        }
    ],
    "passkeys": [],
    "factors": FACTORS_EXAMPLE,
    "events": EVENTS_EXAMPLE,
}


class ExportedSessionSchema(OwnSessionSchema):
    """A session, with everything stored about it except its salt."""

    generation = fields.Integer(required=True, metadata={"description": "The number of refreshes."})
    client_id = fields.String(metadata={"description": "As the OAuth client called itself at the login."})


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


class PendingSchema(Schema):
    """A link that was sent to the user and not used yet."""

    purpose = fields.String(required=True)
    email = fields.String(metadata={"description": "The new address, for a change of e-mail."})
    expires_at = Timestamp(required=True)


class QueuedEmailSchema(Schema):
    """An e-mail that is not sent yet."""

    id = fields.String(required=True)
    template = fields.String(required=True)
    to = fields.String(required=True)
    context = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    created_at = Timestamp(required=True)
    due_at = Timestamp(required=True, allow_none=True, metadata={"description": "Null once sending has been given up."})
    attempts = fields.Integer(required=True)


class ExportSchema(Schema):
    """Everything stored about a user, except secrets."""

    exported_at = Timestamp(required=True)
    profile = fields.Nested(ProfileSchema, required=True)
    accept_language = fields.List(
        fields.String(),
        metadata={"description": "The languages of the browser at sign-up; e-mails have one of them."},
    )
    password_removed_at = Timestamp(metadata={"description": "When the user removed the password; absent with one."})
    sessions = fields.List(fields.Nested(ExportedSessionSchema), required=True)
    pending = fields.List(fields.Nested(PendingSchema), required=True)
    letters = fields.List(fields.Nested(QueuedEmailSchema), required=True)
    passkeys = fields.List(fields.Nested(ExportedPasskeySchema), required=True)
    factors = fields.Nested(FactorsSchema, required=True)
    events = fields.Nested(
        SecurityEventPageSchema,
        required=True,
        metadata={"description": "The last 1000; for older ones pass `next` to `/api/users/me/events`."},
    )
