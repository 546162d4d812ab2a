"""What can go wrong: the status, the `code` and the `detail` that clients get. `pixora.web.problems` renders them.

A `detail` says what happened and what to do. Causes that clients must not know go to the log. A package of an optional
feature has its own errors, in a module `errors`.
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
    """The body cannot be decoded as its media type (RFC 8259; duplicate names: RFC 7493, section 2.3)."""

    status = HTTPStatus.BAD_REQUEST
    code = "malformed_body"
    detail = "The request body is malformed. Check that it matches its Content-Type and is encoded in UTF-8."


class BadRequest(PixoraError):
    """The request is not valid HTTP. Raised by the server, before any route."""

    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"
    detail = "The request is malformed."


class UntrustedHost(PixoraError):
    """The Host header is not in `TRUSTED_HOSTS`."""

    status = HTTPStatus.BAD_REQUEST
    code = "untrusted_host"
    detail = (
        "The service does not answer to the host name of this request. Use its public name; operators can add names to "
        "TRUSTED_HOSTS."
    )


class NotFound(PixoraError):
    """There is no such resource, or this client must not know of it."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"
    detail = "There is no resource at this URL. Check the path."


class UnsupportedMediaType(PixoraError):
    """The route does not accept the body's Content-Type or Content-Encoding."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"
    detail = "Send the body as application/json, without a Content-Encoding."


class NotAForm(UnsupportedMediaType):
    """The route takes a form, and the body is none."""

    detail = "Send the body as application/x-www-form-urlencoded, without a Content-Encoding."


class PayloadTooLarge(PixoraError):
    """The body is larger than `MAX_CONTENT_LENGTH`, or has more parts than can be read in time."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "payload_too_large"
    detail = "The request body is too large. Send a smaller one."


class ValidationFailed(PixoraError):
    """Fields or parameters are missing, unknown or invalid. `errors` maps their names to messages."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "validation_failed"
    detail = "Some fields are missing or invalid. See errors for each of them."

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__(self.detail)


class MissingToken(PixoraError):
    """The request has no credentials, so the challenge has no error (RFC 6750, section 3.1)."""

    status = HTTPStatus.UNAUTHORIZED
    code = "missing_token"
    detail = "This route requires an access token. Send it in the header Authorization: Bearer <token>."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class InvalidToken(PixoraError):
    """The access token is malformed, forged or expired, or its session or user no longer exists."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_token"
    detail = "The access token is invalid, expired or revoked. Refresh it or log in again."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class StepUpNeeded(PixoraError):
    """The route wants a more recent authentication, or one at a higher level (RFC 9470, section 3)."""

    status = HTTPStatus.UNAUTHORIZED
    code = "insufficient_user_authentication"
    detail = "Confirm that it is you at /api/auth/reauthenticate, then repeat the request with the new access token."
    headers: ClassVar[dict[str, str]] = {
        "WWW-Authenticate": 'Bearer error="insufficient_user_authentication", acr_values="aal1", max_age="300"'
    }


class SecondFactorNeeded(StepUpNeeded):
    """The same for an account with a second factor."""

    headers: ClassVar[dict[str, str]] = {
        "WWW-Authenticate": 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age="300"'
    }


class InvalidCredentials(PixoraError):
    """Unknown user, wrong password or corrupt hash: one answer for all (OWASP ASVS 5.0, 6.3.8)."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_credentials"
    detail = "Incorrect email or password"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class InvalidOneTimeToken(PixoraError):
    """The token of an e-mail's link cannot be redeemed.

    `reason` is for our own pages: `malformed`, `expired`, or `used` (also: superseded, or never issued).
    """

    status = HTTPStatus.BAD_REQUEST
    code = "invalid_one_time_token"
    detail = "This link or token is invalid, expired or already used. Request a new one."

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class WrongPassword(PixoraError):
    """An authenticated user gave a wrong password."""

    status = HTTPStatus.FORBIDDEN
    code = "wrong_password"
    detail = "The password is incorrect. Try again."


class EmailNotVerified(PixoraError):
    """`REQUIRE_VERIFIED_EMAIL` is on and the address is not verified. Raised only after a correct password."""

    status = HTTPStatus.FORBIDDEN
    code = "email_not_verified"
    detail = (
        "Verify your e-mail address first: open the link we sent you. If the link has expired, log in again to get a "
        "new one, up to a few times an hour, or reset your password, which verifies the address as well."
    )


class PreconditionFailed(PixoraError):
    """`If-Match` names another state of the profile than the current one (RFC 9110, section 15.5.13)."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"
    detail = "The profile has changed since you read it. Read it again, then repeat your change."


class InvalidGrant(PixoraError):
    """The refresh token is malformed, forged, expired or already used, or its session has ended."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_grant"
    detail = "The refresh token is invalid, expired or revoked. Log in again."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class SessionNotFound(PixoraError):
    """The user has no such session; another user may."""

    status = HTTPStatus.NOT_FOUND
    code = "session_not_found"
    detail = "You have no session with this id. List your sessions to see their ids."


class Forbidden(PixoraError):
    """An authenticated user asks for something that is not theirs."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"
    detail = "You are not allowed to do this."


class NotYourProfile(Forbidden):
    """The id is not the user's own, whether or not it exists."""

    detail = "You can only read your own profile."


class AdminOnly(Forbidden):
    """The user is not an administrator."""

    detail = "Only administrators can do this."


class UserNotFound(PixoraError):
    """There is no such user. Raised for administrators only."""

    status = HTTPStatus.NOT_FOUND
    code = "user_not_found"
    detail = "There is no such user. Check the id or e-mail address."


class LastAdmin(PixoraError):
    """The change would leave no enabled administrator."""

    status = HTTPStatus.CONFLICT
    code = "last_admin"
    detail = "This is the last enabled administrator. Make another user an administrator first."


class EmailTaken(PixoraError):
    """Another user has this address, by the unique index on `email`."""

    status = HTTPStatus.CONFLICT
    code = "email_taken"
    detail = "User with this email already exists"


class Overloaded(PixoraError):
    """The hashing queue cannot serve the request in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "overloaded"
    detail = "Too many people are logging in right now. Try again in a few seconds."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class HashingQueueFull(Overloaded):
    """The hashing queue has no slot left.

    The answer is immediate, so nginx is asked to deliver it slowly: clients that retry at once would otherwise cost
    more than all others.
    """

    headers: ClassVar[dict[str, str]] = Overloaded.headers | {"X-Accel-Limit-Rate": "300"}


class RateLimited(PixoraError):
    """There were too many attempts. `retry_after`: seconds until the next one can succeed."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate_limited"
    detail = "Too many attempts. Wait for the number of seconds in the Retry-After header, then try again."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "900"}

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(self.detail)


class DatabaseUnavailable(PixoraError):
    """MongoDB is unreachable, hung, electing or full, or its indexes are missing.

    `reason`, one word, is for `/health`.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "database_unavailable"
    detail = "The service cannot reach its database right now. Try again in a few seconds."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}

    def __init__(self, reason: str = "unavailable") -> None:
        self.reason = reason
        super().__init__(reason)
