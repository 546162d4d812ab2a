"""What can go wrong with second factors, as `pixora.errors` has it for the rest."""

from http import HTTPStatus
from typing import ClassVar

from pixora.errors import EmailNotVerified, Forbidden, PixoraError, SecondFactorNeeded


class MfaRequired(PixoraError):
    """The password is right, and the user has a second factor. No session was opened.

    `mfa_token` proves the password to `POST /api/auth/mfa`, for `expires_in` seconds. `methods` are the kinds of codes
    that the user can send there.
    """

    status = HTTPStatus.FORBIDDEN
    code = "mfa_required"
    detail = "Enter the code from your authenticator app to log in."

    def __init__(self, mfa_token: str, expires_in: int, methods: list[str]) -> None:
        self.extensions = {"mfa_token": mfa_token, "expires_in": expires_in, "methods": methods}
        super().__init__(self.detail)


class InvalidMfaToken(PixoraError):
    """The `mfa_token` is malformed, forged or expired, or the password or the second factor has changed since."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_mfa_token"
    detail = "This login has expired. Enter your password again."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class InvalidCode(PixoraError):
    """A login with a right password has a code that is wrong, too old or used."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_code"
    detail = (
        "The code is incorrect or was already used. Wait for the next code of your authenticator app, or try again."
    )
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class WrongCode(PixoraError):
    """An authenticated user gave a code that is wrong, too old or used."""

    status = HTTPStatus.FORBIDDEN
    code = "wrong_code"
    detail = InvalidCode.detail


class NothingToConfirm(PixoraError):
    """No enrolment has been started, or it has expired or was replaced by another one."""

    status = HTTPStatus.CONFLICT
    code = "nothing_to_confirm"
    detail = "There is no new authenticator app to confirm. Start again: a new secret is valid for ten minutes."


class FactorNotFound(PixoraError):
    """The user has no second factor."""

    status = HTTPStatus.NOT_FOUND
    code = "factor_not_found"
    detail = "There is no second factor. Set one up first."


class SecondFactorUnavailable(PixoraError):
    """The secret of a second factor cannot be decrypted: `DATA_KEYS` lacks its key. Operators must act."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "second_factor_unavailable"
    detail = "The service cannot check codes of authenticator apps right now. Try again later, or use a recovery code."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "60"}


class UnverifiedOwner(EmailNotVerified):
    """A second factor needs a verified address, where security notices go."""

    detail = "Verify your e-mail address before you set up a second factor: we send security notices there."


class AdminFactorNeeded(SecondFactorNeeded):
    """`ADMIN_SECOND_FACTOR` is on, and the session of the administrator was opened by a password alone."""

    detail = "Administrators need a second factor here: set one up, or use it at /api/auth/reauthenticate."


class OwnFactors(Forbidden):
    """An administrator tries to reset their own second factors, which would need no code."""

    detail = (
        "You cannot reset your own second factors. Remove them at /api/users/me/factors and /api/users/me/passkeys, "
        "or ask another administrator."
    )


MFA_TOKEN = "aSSh4MPxorTV5vcIaSfZ5Mu1Gr9pD4cVj3e8yQ0n2mZ6tX5wLr7sUo1KfHbNiEaQ"  # noqa: S105  # made up
MFA_REQUIRED = MfaRequired(MFA_TOKEN, 300, ["totp", "recovery_code"])
"""For the documentation."""
