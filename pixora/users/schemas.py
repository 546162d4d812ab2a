"""Requests and responses of `/api/users`."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, missing, validates_schema

from pixora.accounts.audit import EVENTS
from pixora.accounts.users import has_password
from pixora.auth.schemas import PASSWORD_EXAMPLE, REQUIRED_UNLESS_REMOVED, NewPassword, Password
from pixora.web.fields import (
    Birthday,
    Contact,
    Email,
    Limit,
    Locale,
    NextCursor,
    Personal,
    PersonName,
    Text,
    Timestamp,
    one_of,
)
from pixora.web.metadata import JSONObject

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
CHANGES_EXAMPLE = {
    "last_name": "King",
    "contact": "+44 20 7946 0959",
    "metadata": {"theme": "dark", "newsletter": {"weekly": True}, "beta": None},
}
CHANGED_EXAMPLE = EXAMPLE | {
    "last_name": "King",
    "contact": "+442079460959",
    "updated_at": "2026-11-24T10:15:00.000Z",
    "metadata": {"theme": "dark", "newsletter": {"weekly": True}},
}
CHANGE_PASSWORD_EXAMPLE = {"current_password": "difference-engine-no-2", "new_password": "analytical-engine-no-1"}
CHANGE_EMAIL_EXAMPLE = {"email": "ada.lovelace@example.com"} | PASSWORD_EXAMPLE
CHANGE_EMAIL_MESSAGE = {"message": "We sent a link to the new address. The old one stays in use until you open it."}
SESSION_EXAMPLE: dict[str, Any] = {
    "id": "9f3c51a07be24d68c0a1f2e3",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "created_at": "2026-11-24T09:30:00.000Z",
    "last_used_at": "2026-11-24T11:02:17.354Z",
    "expires_at": "2026-12-08T11:02:17.354Z",
    "auth_time": "2026-11-24T09:30:00.000Z",
    "acr": "aal1",
    "amr": ["pwd"],
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


class ProfileSchema(Schema):
    """One's own profile."""

    id = fields.String(attribute="_id", required=True, metadata={"description": "24 hexadecimal digits."})
    first_name = Personal(required=True)
    last_name = Personal(required=True)
    email = fields.String(required=True)
    contact = Personal(
        required=True, metadata={"description": "E.164; free text in accounts from the FastAPI service."}
    )
    birthday = Personal(required=True, metadata={"description": "YYYY-MM-DD."})
    created_at = Timestamp(required=True)
    updated_at = Timestamp(required=True)
    email_verified = fields.Boolean(
        required=True,
        dump_default=False,
        metadata={"description": "Whether the user has proved access to this mailbox."},
    )
    roles = fields.List(fields.String(), required=True, dump_default=["user"])
    has_password = fields.Function(
        lambda user: missing if has_password(user) else False,
        metadata={"type": "boolean", "description": "False for a user without a password; absent for all others."},
    )
    metadata = JSONObject(description="What the user has stored; absent until then. ")
    app_metadata = JSONObject(description="What administrators have stored about the user; absent until then. ")
    locale = fields.String(
        allow_none=True,
        metadata={"description": "The language of e-mails (BCP 47); missing unless the user has chosen one."},
    )


class ProfileChangesSchema(Schema):
    """The fields to change, at least one."""

    json_schema: ClassVar = {"minProperties": 1}

    first_name = PersonName()
    last_name = PersonName()
    contact = Contact()
    birthday = Birthday()
    metadata = JSONObject(is_patch=True)
    locale = Locale(
        allow_none=True, metadata={"description": "The language of e-mails (BCP 47); null for the default."}
    )

    @validates_schema
    def _require_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not data:
            raise ValidationError("Must have at least one field.")


class ChangePasswordSchema(Schema):
    """The current and the new password."""

    current_password = Password(metadata={"description": REQUIRED_UNLESS_REMOVED})
    new_password = NewPassword(required=True)


class RemovePasswordSchema(Schema):
    """The password to remove."""

    password = Password(required=True)


class ChangeEmailSchema(Schema):
    """The new e-mail address and the password."""

    email = Email(required=True)
    password = Password(metadata={"description": REQUIRED_UNLESS_REMOVED})


class DeleteAccountSchema(Schema):
    """The password of the account; nothing, `{}`, where there is none."""

    password = Password(metadata={"description": REQUIRED_UNLESS_REMOVED})


class OwnSessionSchema(Schema):
    """A session: one login, on one device."""

    id = fields.String(required=True, metadata={"description": "24 hexadecimal digits."})
    user_agent = fields.String(required=True, metadata={"description": "The User-Agent header of the login."})
    created_at = Timestamp(required=True)
    last_used_at = Timestamp(required=True, metadata={"description": "The time of the last refresh."})
    expires_at = Timestamp(required=True, metadata={"description": "When it expires unless it is refreshed before."})
    auth_time = Timestamp(required=True, metadata={"description": "When the user was last authenticated in it."})
    acr = fields.String(required=True, metadata={"description": "The level: `aal1`, or `aal2` with a second factor."})
    amr = fields.List(
        fields.String(), required=True, metadata={"description": "The methods (RFC 8176), such as `pwd`."}
    )


class UserSessionSchema(OwnSessionSchema):
    """A session, and whether it is the current one."""

    current = fields.Boolean(required=True, metadata={"description": "Whether it is the session of this request."})


class SecurityEventSchema(Schema):
    """A security event of an account."""

    event = fields.String(
        required=True, metadata=one_of(*EVENTS) | {"description": "The kind of event. More may be added."}
    )
    at = Timestamp(required=True)
    network = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The network of the client: an IPv4 address or an IPv6 /64."},
    )
    request_id = fields.String(
        required=True, allow_none=True, metadata={"description": "The X-Request-ID of the request."}
    )
    by = fields.String(
        required=True,
        dump_default=None,
        allow_none=True,
        metadata=one_of("admin", "operator")
        | {"description": "Who did it, if not the user; `network` and `request_id` are null then."},
    )
    details = fields.Dict(
        keys=fields.String(), required=True, metadata={"description": "More about the event, for example `session_id`."}
    )


class SecurityEventPageSchema(Schema):
    """A page of events, newest first."""

    items = fields.List(fields.Nested(SecurityEventSchema), required=True)
    next = NextCursor()


class ListSchema(Schema):
    """The page of a list to return."""

    limit = Limit(
        load_default=20, metadata={"minimum": 1, "maximum": 100, "description": "The maximum number of items."}
    )
    after = Text(metadata={"description": "`next` of the previous page."})


class EndSessionsSchema(Schema):
    """The sessions to end."""

    current = fields.Boolean(
        load_default=False,
        truthy={"true"},
        falsy={"false"},
        metadata={"description": "Whether to end the current session as well."},
    )
