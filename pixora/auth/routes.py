"""`/api/auth`: signing up and logging in."""

from typing import Any

from pixora.auth import schemas, service
from pixora.blueprint import Blueprint, fails
from pixora.errors import DatabaseUnavailable, EmailTaken, InvalidCredentials
from pixora.guards import public
from pixora.tokens import tokens

blueprint = Blueprint("auth", __name__, url_prefix="/api/auth", description="Signing up and logging in")


@blueprint.route("/signup", methods=["POST"])
@fails(EmailTaken, DatabaseUnavailable)
@blueprint.response(
    201,
    schemas.CreatedSchema,
    example=schemas.CREATED_EXAMPLE,
    headers={"Location": {"schema": {"type": "string"}, "description": "Where the profile is."}},
)
@blueprint.body(schemas.SignupSchema, example=schemas.SIGNUP_EXAMPLE)
@public
def signup(account: dict[str, str]) -> tuple[dict[str, str], int, dict[str, str]]:
    """Create an account.

    The e-mail address is stored in lower case: one address, however it is spelt, has one account.
    """
    user_id = service.sign_up(account, account.pop("password"))
    return {"message": "User created successfully", "id": user_id}, 201, {"Location": f"/api/users/{user_id}"}


@blueprint.route("/login", methods=["POST"])
@fails(InvalidCredentials, DatabaseUnavailable)
@blueprint.response(200, schemas.TokenSchema, example=schemas.TOKEN_EXAMPLE)
@blueprint.body(schemas.LoginSchema, example=schemas.LOGIN_EXAMPLE, location="form")
@public
def login(form: dict[str, str]) -> dict[str, Any]:
    """Log in with e-mail and password.

    The OAuth 2.0 password grant, so that any OAuth client can use it. What is wrong is not told.
    """
    user = service.log_in(form["username"], form["password"])
    return {"access_token": tokens.issue(user["_id"]), "token_type": "bearer", "expires_in": tokens.lifetime}
