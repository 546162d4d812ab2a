"""`/api/users`: one's own profile."""

from pixora.blueprint import Blueprint, fails
from pixora.database import Document
from pixora.errors import NotYourProfile
from pixora.guards import require_user
from pixora.users.schemas import EXAMPLE, ProfileSchema

blueprint = Blueprint("users", __name__, url_prefix="/api/users", description="One's own profile")


@blueprint.route("/me")
@blueprint.response(200, ProfileSchema, example=EXAMPLE)
@require_user
def get_me(user: Document) -> Document:
    """Read one's own profile."""
    return user


@blueprint.route("/<user_id>")
@fails(NotYourProfile)
@blueprint.response(200, ProfileSchema, example=EXAMPLE)
@require_user
def get_user(user: Document, user_id: str) -> Document:
    """Read a profile by id: one's own.

    Every other id is answered with 403, whether or not it exists and however it is formed.
    """
    if user_id != user["_id"]:
        raise NotYourProfile
    return user
