"""Who an OAuth client says it is. All clients are public: there is no registry of clients, and none has a secret."""

from collections.abc import Mapping

from pixora.auth.schemas import CLIENT_ID
from pixora.oauth import basic
from pixora.oauth.errors import InvalidClient


def client_id(form: Mapping[str, str]) -> str | None:
    """Return the `client_id` of the form or of the Basic header, if any.

    Many libraries send a Basic header also for public clients, with an empty secret.

    Raises:
        InvalidClient: The client sends a secret, or two names. We cannot verify a secret, and a client that believes in
            one must learn that it protects nothing.

    """
    in_form = form.get("client_id")
    credentials = basic.credentials()
    if form.get("client_secret") or (credentials and credentials.secret):
        raise InvalidClient
    in_header = credentials.name if credentials else None
    if in_form and in_header and in_form != in_header:
        raise InvalidClient
    if in_header and not CLIENT_ID.fullmatch(in_header):
        raise InvalidClient
    return in_form or in_header or None
