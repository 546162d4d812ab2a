"""The schemas of `/api/admin`."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from pixora.accounts.roles import ROLES, is_disabled
from pixora.users.schemas import EXAMPLE, ListSchema, ProfileSchema
from pixora.web.fields import TypedEmail

USER_EXAMPLE = EXAMPLE | {"disabled": False}
ROLES_EXAMPLE = {"roles": ["user", "admin"]}
ADMIN_EXAMPLE = USER_EXAMPLE | ROLES_EXAMPLE | {"updated_at": "2026-11-24T12:04:31.871Z"}
PAGE_EXAMPLE = {"items": [USER_EXAMPLE], "next": "aTY5MjRhMWUwYzNmMWEyYjRkNWU2ZjcwOA"}


class ListUsersSchema(ListSchema):
    """The query parameters of the list of users."""

    email = TypedEmail(
        validate=validate.Length(1, 254, error="Must have between 1 and 254 characters."),
        metadata={"description": "The beginning of an e-mail address, or all of it; case is ignored."},
    )


class AdminUserSchema(ProfileSchema):
    """A user's profile, as administrators see it."""

    disabled = fields.Function(
        is_disabled,
        required=True,
        metadata={"type": "boolean", "description": "Whether sessions and logins of the user are rejected."},
    )


class UserPageSchema(Schema):
    """A page of users, and the cursor of the next page."""

    items = fields.List(fields.Nested(AdminUserSchema), required=True)
    next = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The cursor of the next page, for `after`; null on the last page."},
    )


def _require_distinct(roles: list[str]) -> None:
    if len(set(roles)) != len(roles):
        raise ValidationError("Must not name a role twice.")


class Roles(fields.List[str]):
    """The roles of a user: at least one, and none twice."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            fields.String(validate=validate.OneOf(ROLES)),
            validate=[validate.Length(1, error="Must have at least one role."), _require_distinct],
            metadata={"uniqueItems": True},
            **kwargs,
        )


class RolesSchema(Schema):
    """The new roles of a user."""

    roles = Roles(required=True)
