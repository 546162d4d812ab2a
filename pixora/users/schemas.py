"""What a profile and a session look like from outside."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from pixora.accounts.audit import EVENTS
from pixora.web.fields import Birthday, Contact, Limit, PersonName, Text, Timestamp

EXAMPLE = {
    "id": "6924a1e0c3f1a2b4d5e6f708",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.com",
    "contact": "+442079460958",
    "birthday": "1990-12-10",
    "created_at": "2026-11-24T09:30:00.000Z",
    "updated_at": "2026-11-24T09:30:00.000Z",
    "email_verified": True,
    "roles": ["user"],
}
CHANGES_EXAMPLE = {"last_name": "King", "contact": "+44 20 7946 0959"}
SESSION_EXAMPLE = {
    "id": "9f3c51a07be24d68c0a1f2e3",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "created_at": "2026-11-24T09:30:00.000Z",
    "last_used_at": "2026-11-24T11:02:17.354Z",
    "expires_at": "2026-12-08T11:02:17.354Z",
    "current": True,
}
EVENTS_EXAMPLE = {
    "items": [
        {
            "event": "session_ended",
            "at": "2026-11-24T11:31:02.084Z",
            "network": None,
            "request_id": None,
            "by": "admin",
            "details": {"session_id": "0d8cbe1f0a914d3c8b1f62aa"},
        },
        {
            "event": "login",
            "at": "2026-11-24T09:30:00.000Z",
            "network": "192.0.2.7",
            "request_id": "4f1c2a9be07d4c55",
            "by": None,
            "details": {"session_id": "9f3c51a07be24d68c0a1f2e3"},
        },
    ],
    "next": "dDE3OTU1MTI2MDAwMDAtNmIwNTY5Y2Q0ODNjM2JiZmEyYmEyZWZj",
}
EXPORT_EXAMPLE = {
    "exported_at": "2026-11-24T11:30:00.000Z",
    "profile": EXAMPLE,
    "sessions": [{name: value for name, value in SESSION_EXAMPLE.items() if name != "current"} | {"generation": 7}],
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
    "events": EVENTS_EXAMPLE,
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
    email_verified = fields.Boolean(
        required=True, dump_default=False, metadata={"description": "Whether the owner has proved to read its mail."}
    )
    roles = fields.List(fields.String(), required=True, dump_default=["user"])


class ProfileChangesSchema(Schema):
    """The fields of a profile to change, at least one."""

    json_schema: ClassVar = {"minProperties": 1}

    first_name = PersonName()
    last_name = PersonName()
    contact = Contact(
        metadata={"description": "A telephone number, stored as E.164; without + only where the service has a region."}
    )
    birthday = Birthday(metadata={"description": "In the past, not before 1900-01-01."})

    @validates_schema
    def _require_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not data:
            raise ValidationError("Must have at least one field.")


class OwnSessionSchema(Schema):
    """One login, on one device, as it is stored."""

    id = fields.String(required=True, metadata={"description": "24 hexadecimal digits."})
    user_agent = fields.String(required=True, metadata={"description": "Of the login, as the client gave it."})
    created_at = Timestamp(required=True)
    last_used_at = Timestamp(required=True, metadata={"description": "Of the last refresh."})
    expires_at = Timestamp(required=True, metadata={"description": "If it is not refreshed before."})


class SessionSchema(OwnSessionSchema):
    """One login, on one device."""

    current = fields.Boolean(required=True, metadata={"description": "Whether it is the one of this request."})


class ExportedSessionSchema(OwnSessionSchema):
    """One login, on one device, with all that is stored of it but its salt."""

    generation = fields.Integer(required=True, metadata={"description": "How often it was refreshed."})


class PendingSchema(Schema):
    """What the user has been sent a link for."""

    purpose = fields.String(required=True)
    email = fields.String(metadata={"description": "Of a change of address, the new one."})
    expires_at = Timestamp(required=True)


class LetterSchema(Schema):
    """A letter that has not been sent yet."""

    id = fields.String(required=True)
    template = fields.String(required=True)
    to = fields.String(required=True)
    context = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    created_at = Timestamp(required=True)
    due_at = Timestamp(required=True, allow_none=True, metadata={"description": "None once it was given up."})
    attempts = fields.Integer(required=True)


class EventSchema(Schema):
    """Something that has happened to an account."""

    event = fields.String(
        required=True, validate=validate.OneOf(EVENTS), metadata={"description": "What; more may be added."}
    )
    at = Timestamp(required=True)
    network = fields.String(
        required=True, allow_none=True, metadata={"description": "Of the client: an IPv4 address, or an IPv6 /64."}
    )
    request_id = fields.String(
        required=True, allow_none=True, metadata={"description": "As in the X-Request-ID header of the answer."}
    )
    by = fields.String(
        required=True,
        dump_default=None,
        allow_none=True,
        validate=validate.OneOf(["admin", "operator"]),
        metadata={"description": "Of what somebody of the service did; then network and request_id are null."},
    )
    details = fields.Dict(
        keys=fields.String(), required=True, metadata={"description": "Such as session_id, where it is about one."}
    )


class EventPageSchema(Schema):
    """Some events, the newest first, and where the older ones are."""

    items = fields.List(fields.Nested(EventSchema), required=True)
    next = fields.String(
        required=True, allow_none=True, metadata={"description": "For `after`; null on the last page."}
    )


class ListSchema(Schema):
    """Which page of a list to return."""

    limit = Limit(load_default=20, metadata={"minimum": 1, "maximum": 100, "description": "The most items of a page."})
    after = Text(metadata={"description": "`next` of the page before."})


class ExportSchema(Schema):
    """All that is stored about a user, but secrets."""

    exported_at = Timestamp(required=True)
    profile = fields.Nested(ProfileSchema, required=True)
    sessions = fields.List(fields.Nested(ExportedSessionSchema), required=True)
    pending = fields.List(fields.Nested(PendingSchema), required=True)
    letters = fields.List(fields.Nested(LetterSchema), required=True)
    events = fields.Nested(
        EventPageSchema,
        required=True,
        metadata={"description": "The last 1000; `next` leads on, at `/api/users/me/events`."},
    )


class EndSessionsSchema(Schema):
    """Which sessions to end."""

    current = fields.Boolean(
        load_default=False, truthy={"true"}, falsy={"false"}, metadata={"description": "This one as well."}
    )
