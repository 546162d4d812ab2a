"""What can go wrong for administrators only."""

from http import HTTPStatus

from pixora.errors import Forbidden, PixoraError


class OwnAccount(Forbidden):
    """An administrator asks for something that needs the password when users do it to themselves."""

    detail = "This is your own account. Use the routes under /api/users/me, which ask for your password."


class UserDisabled(PixoraError):
    """The user is disabled, so links in e-mails do not work. Raised for administrators only."""

    status = HTTPStatus.CONFLICT
    code = "user_disabled"
    detail = "This user is disabled, and cannot use a link. Enable the user first."


class NotInvited(PixoraError):
    """The user has chosen a password, so there is no invitation. Raised for administrators only."""

    status = HTTPStatus.CONFLICT
    code = "not_invited"
    detail = "This user has no pending invitation. The user has chosen a password already."
