"""What can go wrong at the endpoints for OAuth clients only, and not at the login as well."""

from http import HTTPStatus
from typing import ClassVar

from pixora.errors import PixoraError


class UnsupportedGrantType(PixoraError):
    """The token endpoint does not support this grant type (RFC 6749, section 5.2)."""

    status = HTTPStatus.BAD_REQUEST
    code = "unsupported_grant_type"
    detail = "The grant_type must be password or refresh_token."


class InvalidClient(PixoraError):
    """Client authentication failed (RFC 6749, section 5.2)."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_client"
    detail = "All clients are public here: send a client_id or nothing, and no secret."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Basic realm="pixora"'}


class InvalidServiceKey(InvalidClient):
    """A service does not authenticate with its name and key (RFC 7662, section 2.1)."""

    detail = "Authenticate by HTTP Basic, with the name of your service and its key."
