"""Whether the link in a letter is still good for anything."""

from datetime import datetime

from pixora.accounts.outbox import Claimed, decrypt_token
from pixora.errors import InvalidOneTimeToken
from pixora.tokens.one_time import OneTimeToken, Purpose


class Obsolete(Exception):
    """The token in a letter has expired, was used, or a newer one has taken its place: it need not be sent."""


def link_of(claimed: Claimed, now: datetime) -> tuple[str, datetime] | tuple[None, None]:
    """Return the one-time token in a letter, in clear, and when it expires; twice None when there is none.

    Raises:
        Obsolete: It is good no longer.
        UnreadableToken: It was encrypted under another `SECRET_KEY`.

    """
    text = decrypt_token(claimed.email)
    if text is None:
        return None, None
    purpose = Purpose(claimed.email["template"])
    stored = claimed.tokens.get(purpose, {})
    try:
        digest = OneTimeToken.parse(text).digest(purpose)
    except InvalidOneTimeToken as error:
        raise Obsolete from error
    if stored.get("hash") != digest or stored["expires_at"] <= now:
        raise Obsolete
    return text, stored["expires_at"]
