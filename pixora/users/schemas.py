"""What a profile looks like from outside."""

from marshmallow import Schema, fields

from pixora.users.fields import Timestamp

EXAMPLE = {
    "id": "6924a1e0c3f1a2b4d5e6f708",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.com",
    "contact": "+442079460958",
    "birthday": "1990-12-10",
    "created_at": "2026-11-24T09:30:00.000Z",
    "updated_at": "2026-11-24T09:30:00.000Z",
}


class ProfileSchema(Schema):
    """A user's profile, as its owner sees it."""

    id = fields.String(attribute="_id", required=True, metadata={"description": "24 hexadecimal digits."})
    first_name = fields.String(required=True)
    last_name = fields.String(required=True)
    email = fields.String(required=True)
    contact = fields.String(
        required=True, metadata={"description": "E.164; free text in accounts made by the FastAPI service."}
    )
    birthday = fields.String(required=True, metadata={"description": "YYYY-MM-DD."})
    created_at = Timestamp(required=True)
    updated_at = Timestamp(required=True)
