"""What can go wrong, in the words that clients see. `pixora.web.problems` makes responses of these.

The cause of a failure, where there is one to tell, belongs in the log and not in a message here.
"""

from http import HTTPStatus
from typing import ClassVar


class PixoraError(Exception):
    """A failure with a status, a stable `code` for programs and a `detail` for people."""

    status: ClassVar[HTTPStatus]
    code: ClassVar[str]
    detail: ClassVar[str]
    headers: ClassVar[dict[str, str]] = {}


class MalformedBody(PixoraError):
    """The bytes are not what their media type says (RFC 8259; duplicate names as RFC 7493, section 2.3)."""

    status = HTTPStatus.BAD_REQUEST
    code = "malformed_body"
    detail = "The request body is not well formed."


class UntrustedHost(PixoraError):
    """The Host header names none of `TRUSTED_HOSTS`."""

    status = HTTPStatus.BAD_REQUEST
    code = "untrusted_host"
    detail = (
        "The service does not answer to the host name in this request. Call it by its public name; whoever runs it can "
        "add a name to TRUSTED_HOSTS."
    )


class NothingHere(PixoraError):
    """There is something, but not for this client, who is not to know."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"
    detail = "There is nothing at this address."


class UnsupportedMediaType(PixoraError):
    """The body is of a type, or in an encoding, that this route does not read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"
    detail = "This route does not read a body of this media type."


class PayloadTooLarge(PixoraError):
    """The body is over `MAX_CONTENT_LENGTH`."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "payload_too_large"
    detail = "The request body is too large."


class ValidationFailed(PixoraError):
    """Fields are missing, unknown or not acceptable. `errors`: field name to a list of messages."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "validation_failed"
    detail = "Some fields are missing or not acceptable; see errors."

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__(self.detail)


class MissingToken(PixoraError):
    """No credentials came, so the challenge names no error (RFC 6750, section 3.1)."""

    status = HTTPStatus.UNAUTHORIZED
    code = "missing_token"
    detail = "This route needs an access token: Authorization: Bearer <token>."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class InvalidToken(PixoraError):
    """The token is malformed, forged, expired, or its user is gone. Clients are not told which."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_token"
    detail = "The access token is not valid, or no longer."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class InvalidCredentials(PixoraError):
    """Unknown user, wrong password or corrupt hash: one answer for all (OWASP ASVS 5.0, 6.3.8)."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_credentials"
    detail = "Incorrect email or password"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class InvalidOneTimeToken(PixoraError):
    """The token of a letter's link is not good. Clients are not told why.

    `reason` is for our own pages: `malformed`, `expired`, or `used` (used up, superseded, or never ours).
    """

    status = HTTPStatus.BAD_REQUEST
    code = "invalid_one_time_token"
    detail = "This link or token is not valid, or no longer: it is good once, and for a while. Please ask for another."

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class WrongPassword(PixoraError):
    """Someone who is known already has given a wrong password."""

    status = HTTPStatus.FORBIDDEN
    code = "wrong_password"
    detail = "The password is wrong."


class EmailNotVerified(PixoraError):
    """`REQUIRE_VERIFIED_EMAIL` is on; told to those only who know the password."""

    status = HTTPStatus.FORBIDDEN
    code = "email_not_verified"
    detail = (
        "Verify your e-mail address first: open the link we sent you. If the link has expired, logging in sends a new "
        "one, a few times an hour at most. Resetting the password verifies the address as well."
    )


class PreconditionFailed(PixoraError):
    """`If-Match` names another state of the profile than it is in (RFC 9110, section 15.5.13)."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"
    detail = "The profile was changed meanwhile. Please read it again."


class InvalidGrant(PixoraError):
    """The refresh token is malformed, forged, used up, or its session has ended. Clients are not told which."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_grant"
    detail = "The refresh token is not valid, or no longer. Please log in again."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class SessionNotFound(PixoraError):
    """The user has no such session; another user may."""

    status = HTTPStatus.NOT_FOUND
    code = "session_not_found"
    detail = "You have no such session."


class Forbidden(PixoraError):
    """Someone who is known asks for what is another's."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"
    detail = "You may not do this."


class NotYourProfile(Forbidden):
    """Any id but one's own, whether or not it exists."""

    detail = "You may only read your own profile."


class AdminOnly(Forbidden):
    """Someone who is known, and is no administrator."""

    detail = "Only administrators may do this."


class UserNotFound(PixoraError):
    """There is no such user; told to administrators only."""

    status = HTTPStatus.NOT_FOUND
    code = "user_not_found"
    detail = "There is no such user."


class LastAdmin(PixoraError):
    """Without this administrator there would be none who is not disabled."""

    status = HTTPStatus.CONFLICT
    code = "last_admin"
    detail = "This is the last administrator who is not disabled. Please make another one first."


class EmailTaken(PixoraError):
    """Another user has this address: the unique index on `email` has refused it."""

    status = HTTPStatus.CONFLICT
    code = "email_taken"
    detail = "User with this email already exists"


class Overloaded(PixoraError):
    """More passwords are waiting to be hashed than can be in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "overloaded"
    detail = "Too many people are logging in at the moment. Please try again."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class HashingQueueFull(Overloaded):
    """So many are waiting that there is no place to wait.

    Refused at once, but nginx takes its time to hand it over: clients who try again at once would cost more than all
    others.
    """

    headers: ClassVar[dict[str, str]] = Overloaded.headers | {"X-Accel-Limit-Rate": "300"}


class RateLimited(PixoraError):
    """There have been too many attempts. `retry_after`: the seconds until another is worth making."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate_limited"
    detail = "Too many attempts. Please wait before the next one; Retry-After says for how many seconds."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "900"}

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(self.detail)


class DatabaseUnavailable(PixoraError):
    """MongoDB is unreachable, hung, electing or full, or has not got its indexes yet.

    `reason`, one word, is for /health; the cause is in the log.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "database_unavailable"
    detail = "The service cannot reach its database at the moment. Please try again."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}

    def __init__(self, reason: str = "unavailable") -> None:
        self.reason = reason
        super().__init__(reason)
