"""The one-time token in the link of an e-mail, if it is still valid when the e-mail is sent."""

from datetime import datetime

from pixora.accounts.outbox import Claimed
from pixora.errors import InvalidOneTimeToken
from pixora.services import services
from pixora.tokens.one_time import OneTimeToken, Purpose


class StaleLink(Exception):
    """The token has expired, was used, or was replaced by a newer one, so the e-mail need not be sent."""


def link_token(claimed: Claimed, now: datetime) -> tuple[str, datetime] | tuple[None, None]:
    """Return the token for the link and its expiry; `(None, None)` for an e-mail without a link.

    Raises:
        StaleLink: The token is no longer valid.
        UnreadableToken: It was encrypted under another `SECRET_KEY`.

    """
    token = services.outbox.decrypt_token(claimed.email)
    if token is None:
        return None, None
    purpose = Purpose(claimed.email["template"])
    stored = claimed.tokens.get(purpose, {})
    try:
        digest = OneTimeToken.parse(token).digest(purpose)
    except InvalidOneTimeToken as error:
        raise StaleLink from error
    if stored.get("hash") != digest or stored["expires_at"] <= now:
        raise StaleLink
    return token, stored["expires_at"]
