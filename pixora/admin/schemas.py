"""The schemas of `/api/admin`."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from pixora.accounts.documents import ROLES
from pixora.accounts.users import is_disabled
from pixora.auth.schemas import SIGNUP_EXAMPLE, NewPassword, NewProfileSchema
from pixora.users.schemas import (
    EXAMPLE,
    ListSchema,
    ProfileChangesSchema,
    ProfileSchema,
    SecurityEventPageSchema,
    SecurityEventSchema,
)
from pixora.web.fields import (
    Email,
    Flag,
    NextCursor,
    QueryFlag,
    Time,
    Timestamp,
    TypedEmail,
)
from pixora.web.lists import ShortList
from pixora.web.metadata import JSONObject

USER_EXAMPLE = EXAMPLE | {"disabled": False}
ROLES_EXAMPLE = {"roles": ["user", "admin"]}
ADMIN_EXAMPLE = USER_EXAMPLE | ROLES_EXAMPLE | {"updated_at": "2026-11-24T12:04:31.871Z"}
PAGE_EXAMPLE = {"items": [USER_EXAMPLE], "next": "aTY5MjRhMWUwYzNmMWEyYjRkNWU2ZjcwOA", "total": 1815}
CREATE_EXAMPLE = SIGNUP_EXAMPLE | {
    "email": "mary@example.com",
    "roles": ["user"],
    "email_verified": True,
    "app_metadata": {"plan": "gold"},
}
CREATED_EXAMPLE = USER_EXAMPLE | {"email": "mary@example.com", "app_metadata": {"plan": "gold"}}
CHANGES_EXAMPLE = {"last_name": "King", "app_metadata": {"plan": "silver", "trial": None}}
CHANGED_EXAMPLE = USER_EXAMPLE | {"last_name": "King", "app_metadata": {"plan": "silver"}}
INVITATION_MESSAGE = {"message": "We sent the user a new invitation."}
RESET_MESSAGE = {"message": "We sent the user a link to choose a new password."}
EVENTS_EXAMPLE = {
    "items": [
        {
            "event": "session_ended",
            "at": "2026-11-24T11:31:02.084Z",
            "network": "192.0.2.7",
            "request_id": "4f1c2a9be07d4c55",
            "by": "6924a1e0c3f1a2b4d5e6f701",
            "details": {"session_id": "0d8cbe1f0a914d3c8b1f62aa"},
        }
    ],
    "next": None,
}


class ListUsersSchema(ListSchema):
    """The query parameters of the list of users."""

    email = TypedEmail(
        validate=validate.Length(1, 254, error="Must have between 1 and 254 characters."),
        metadata={"description": "The beginning of an e-mail address, or all of it; case is ignored."},
    )
    role = fields.String(
        validate=validate.OneOf(ROLES), metadata={"description": "Users with this role. More may be added."}
    )
    disabled = QueryFlag(metadata={"description": "Disabled users, or enabled ones."})
    email_verified = QueryFlag(metadata={"description": "Users with a verified address, or without."})
    created_after = Time(metadata={"description": "Users created at this time or later."})
    created_before = Time(metadata={"description": "Users created before this time."})
    total = QueryFlag(
        load_default=False, metadata={"description": "Count the users on all pages, however many there are."}
    )


class AdminUserSchema(ProfileSchema):
    """A user's profile, as administrators see it."""

    disabled = fields.Function(
        is_disabled,
        required=True,
        metadata={"type": "boolean", "description": "Whether sessions and logins of the user are rejected."},
    )
    invited_at = Timestamp(
        metadata={
            "description": "When the last invitation was sent, or the user was imported without a password; absent "
            "once the user has chosen one."
        }
    )


class UserPageSchema(Schema):
    """A page of users, and the cursor of the next page."""

    items = fields.List(fields.Nested(AdminUserSchema), required=True)
    next = NextCursor()
    total = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The users on all pages; null if there are more than 1000, unless `total=true`."},
    )


def _require_distinct(roles: list[str]) -> None:
    if len(set(roles)) != len(roles):
        raise ValidationError("Must not name a role twice.")


class Roles(ShortList):
    """The roles of a user: at least one, and none twice."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            fields.String(validate=validate.OneOf(ROLES)),
            10,
            validate=[validate.Length(1, error="Must have at least one role."), _require_distinct],
            metadata={"uniqueItems": True},
            **kwargs,
        )


class CreateUserSchema(NewProfileSchema):
    """A new user: with a password, or invited to choose one."""

    password = NewPassword()
    invite = Flag(
        load_default=False, metadata={"description": "Whether to send a link to choose a password, valid for 7 days."}
    )
    roles = Roles()
    email_verified = Flag(metadata={"description": "Whether the address is known to be the user's; false by default."})
    metadata = JSONObject()
    app_metadata = JSONObject()

    @validates_schema
    def _require_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["invite"] and "password" in data:
            raise ValidationError("Must be missing in an invitation.", "password")
        if data["invite"] and data.get("email_verified"):
            raise ValidationError("Is proved by the invitation.", "email_verified")
        if not data["invite"] and "password" not in data:
            raise ValidationError("Missing data for required field.", "password")


class UserChangesSchema(ProfileChangesSchema):
    """The fields to change, at least one."""

    email = Email(metadata={"description": "Is not verified then: the user gets a link."})
    app_metadata = JSONObject(is_patch=True)


class AdminEventSchema(SecurityEventSchema):
    """A security event of a user, as administrators see it."""

    by = fields.String(
        required=True,
        dump_default=None,
        allow_none=True,
        metadata={"description": "The id of the administrator who did it, or `command`; null for the user."},
    )


class AdminEventPageSchema(SecurityEventPageSchema):
    """A page of events, newest first."""

    items = fields.List(fields.Nested(AdminEventSchema), required=True)


class RolesSchema(Schema):
    """The new roles of a user."""

    roles = Roles(required=True)
