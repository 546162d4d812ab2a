"""`/api/users/me`: what the owner of an account does with it by its password.

Here and not in `pixora.users`, which knows nothing of passwords and how they are checked.
"""

from flask import g, request

from pixora.auth import email_change, schemas
from pixora.auth.guards import require_user
from pixora.database.client import Document
from pixora.errors import EmailTaken, LastAdmin, Overloaded, RateLimited, WrongPassword
from pixora.users import credentials
from pixora.web.blueprint import Blueprint, fails

blueprint = Blueprint("account", __name__, url_prefix="/api/users/me", description="What takes one's password")


@blueprint.route("", methods=["DELETE"])
@require_user
@fails(WrongPassword, LastAdmin, RateLimited, Overloaded)
@blueprint.response(204)
@blueprint.body(schemas.DeleteAccountSchema, example=schemas.PASSWORD_EXAMPLE)
def delete_account(user: Document, body: dict[str, str]) -> None:
    """Delete one's account: the profile and all that belongs to it is gone.

    The last administrator has to make another one first.
    """
    credentials.delete(user, g.session_id, body["password"], request.remote_addr)


@blueprint.route("/password", methods=["POST"])
@require_user
@fails(WrongPassword, RateLimited, Overloaded)
@blueprint.response(204)
@blueprint.body(schemas.ChangePasswordSchema, example=schemas.CHANGE_PASSWORD_EXAMPLE)
def change_password(user: Document, body: dict[str, str]) -> None:
    """Change one's password.

    Every other session ends, and links to reset the password or to change the address are good no more. A letter tells
    the owner. The new password must not be the current one. This session goes on with its refresh token: exchange it
    right after, so that no copy of it is worth anything.
    """
    credentials.change_password(user, g.session_id, body["current_password"], body["new_password"], request.remote_addr)


@blueprint.route("/email", methods=["POST"])
@require_user
@fails(WrongPassword, EmailTaken, RateLimited, Overloaded)
@blueprint.response(202, schemas.MessageSchema, example=schemas.CHANGE_EMAIL_MESSAGE)
@blueprint.body(schemas.ChangeEmailSchema, example=schemas.CHANGE_EMAIL_EXAMPLE)
def change_address(user: Document, body: dict[str, str]) -> dict[str, str]:
    """Ask for a change of one's address.

    It takes effect when the link in the letter to the new address is opened, within 24 hours; the old one is told at
    once, and again then. Where the service does not tell who has an account (`ENUMERATION_SAFE`), the answer is the
    same for an address that is taken, and its owner gets a letter instead.
    """
    email_change.request(user, g.session_id, body["password"], body["email"], request.remote_addr)
    return schemas.CHANGE_EMAIL_MESSAGE
