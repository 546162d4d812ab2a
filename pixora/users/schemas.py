"""What a profile and a session look like from outside."""

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
SESSION_EXAMPLE = {
    "id": "9f3c51a07be24d68c0a1f2e3",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "created_at": "2026-11-24T09:30:00.000Z",
    "last_used_at": "2026-11-24T11:02:17.354Z",
    "expires_at": "2026-12-08T11:02:17.354Z",
    "current": True,
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


class SessionSchema(Schema):
    """One login, on one device."""

    id = fields.String(required=True, metadata={"description": "24 hexadecimal digits."})
    user_agent = fields.String(required=True, metadata={"description": "Of the login, as the client gave it."})
    created_at = Timestamp(required=True)
    last_used_at = Timestamp(required=True, metadata={"description": "Of the last refresh."})
    expires_at = Timestamp(required=True, metadata={"description": "If it is not refreshed before."})
    current = fields.Boolean(required=True, metadata={"description": "Whether it is the one of this request."})


class EndSessionsSchema(Schema):
    """Which sessions to end."""

    current = fields.Boolean(
        load_default=False, truthy={"true"}, falsy={"false"}, metadata={"description": "This one as well."}
    )
