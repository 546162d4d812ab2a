"""What can go wrong with passkeys, as `pixora.errors` has it for the rest."""

from http import HTTPStatus
from typing import ClassVar

from pixora.errors import EmailNotVerified, PixoraError


class InvalidPasskey(PixoraError):
    """A credential is wrong, expired or used, its user is disabled, or within a session it is of another user."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_passkey"
    detail = "The passkey could not be verified, or the attempt has expired. Try again."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class UnknownPasskey(PixoraError):
    """No user has the credential. Clients can signal it to the authenticator, which then hides it."""

    status = HTTPStatus.UNAUTHORIZED
    code = "unknown_passkey"
    detail = "No account has this passkey; it may have been removed. Use another one, or log in with your password."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class InvalidNewPasskey(PixoraError):
    """The credential of a registration is wrong, expired or used."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid_new_passkey"
    detail = "The new passkey could not be verified, or the attempt has expired. Ask for new options and try again."


class PasskeyNotFound(PixoraError):
    """The user has no such passkey; another user may."""

    status = HTTPStatus.NOT_FOUND
    code = "passkey_not_found"
    detail = "You have no passkey with this id. List your passkeys to see their ids."


class NoPasskey(PasskeyNotFound):
    """The user has no passkey to authenticate with again."""

    detail = "You have no passkey. Use your password instead."


class PasskeyExists(PixoraError):
    """This user or another one has the credential, by the unique index on it."""

    status = HTTPStatus.CONFLICT
    code = "passkey_exists"
    detail = "This passkey is already registered."


class TooManyPasskeys(PixoraError):
    """The user has as many passkeys as a user can have."""

    status = HTTPStatus.CONFLICT
    code = "too_many_passkeys"
    detail = "You have 20 passkeys, which is the limit. Remove one first."


class LastCredential(PixoraError):
    """The user has no password, and would be locked out without this passkey."""

    status = HTTPStatus.CONFLICT
    code = "last_credential"
    detail = "This is the last way to log in to your account. Add another passkey or set a password first."


class PasskeyNeeded(LastCredential):
    """The user has no passkey, and would be locked out without the password."""

    detail = "Without the password you could not log in any more. Add a passkey first."


class UnverifiedOwner(EmailNotVerified):
    """A passkey needs a verified address: security notices go there, and strangers may sign up with any address."""

    detail = "Verify your e-mail address before you add a passkey: we send security notices there."
