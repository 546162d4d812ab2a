"""`/api/auth`: signing up, logging in and out, staying logged in."""

from flask import g, request

from pixora.auth import schemas, service
from pixora.blueprint import Blueprint, fails
from pixora.database import Document
from pixora.errors import DatabaseUnavailable, EmailTaken, InvalidCredentials, InvalidGrant, Overloaded, RateLimited
from pixora.guards import public, require_user
from pixora.hashing import room
from pixora.users.sessions import sessions

blueprint = Blueprint("auth", __name__, url_prefix="/api/auth", description="Signing up, logging in and out")


@blueprint.route("/signup", methods=["POST"])
@fails(EmailTaken, RateLimited, Overloaded, DatabaseUnavailable)
@blueprint.response(
    201,
    schemas.CreatedSchema,
    example=schemas.CREATED_EXAMPLE,
    headers={"Location": {"schema": {"type": "string"}, "required": True, "description": "Where the profile is."}},
)
@blueprint.body(schemas.SignupSchema, example=schemas.SIGNUP_EXAMPLE)
@public
def signup(account: dict[str, str]) -> tuple[dict[str, str], int, dict[str, str]]:
    """Create an account.

    The e-mail address is stored in lower case: one address, however it is spelt, has one account.
    """
    with room.seat():
        user_id = service.sign_up(account, account.pop("password"), request.remote_addr)
    return {"message": "User created successfully", "id": user_id}, 201, {"Location": f"/api/users/{user_id}"}


@blueprint.route("/login", methods=["POST"])
@fails(InvalidCredentials, RateLimited, Overloaded, DatabaseUnavailable)
@blueprint.response(200, schemas.TokenSchema, example=schemas.TOKEN_EXAMPLE)
@blueprint.body(schemas.LoginSchema, example=schemas.LOGIN_EXAMPLE, location="form")
@public
def login(form: dict[str, str]) -> service.Grant:
    """Log in with e-mail and password.

    The OAuth 2.0 password grant, so that any OAuth client can use it. What is wrong is not told.
    After too many wrong passwords for an address, or from a network, right ones are refused too, for a while.
    """
    user_agent = request.headers.get("User-Agent", "")
    with room.seat():
        return service.log_in(form["username"], form["password"], user_agent, request.remote_addr)


@blueprint.route("/refresh", methods=["POST"])
@fails(InvalidGrant, DatabaseUnavailable)
@blueprint.response(200, schemas.TokenSchema, example=schemas.TOKEN_EXAMPLE)
@blueprint.body(schemas.RefreshSchema, example=schemas.REFRESH_EXAMPLE, location="form")
@public
def refresh(form: dict[str, str]) -> service.Grant:
    """Exchange a refresh token for new tokens.

    A refresh token is good once. Sent again within seconds, by a client that lost the answer, it gets the same
    successor; later, it counts as stolen and the session ends.
    """
    return service.refresh(form["refresh_token"])


@blueprint.route("/logout", methods=["POST"])
@require_user
@blueprint.response(204)
def logout(user: Document) -> None:
    """End the session of the access token, at once and everywhere."""
    sessions.end(user["_id"], g.session_id)
