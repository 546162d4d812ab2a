"""How a one-time token is used up: looked at first, and spent only together with what it is good for."""

from pixora import clock
from pixora.database.client import Document
from pixora.errors import InvalidOneTimeToken
from pixora.services import services
from pixora.tokens.one_time import OneTimeToken, Purpose


class Redemption:
    """A token that was good when it was looked at, and is not spent yet: what fails before that does not burn it.

    Args:
        purpose: What it must be for.
        text: The token, as it came.

    Attributes:
        user: Whose it is: `_id`, `first_name`, `last_name`, `email`.
        record: What is stored of it.

    Raises:
        InvalidOneTimeToken: it is not good.

    """

    def __init__(self, purpose: Purpose, text: str) -> None:
        token = OneTimeToken.parse(text)
        self._purpose, self._text = purpose, text
        self._digest = token.digest(purpose)
        user = services.one_time_tokens.find_user(token.user_id, purpose)
        record: Document = (user or {}).get("tokens", {}).get(purpose, {})
        # No secret is compared here, but hashes of one: nobody gets nearer to it by measuring how long this takes.
        if user is None or record.get("hash") != self._digest:
            raise InvalidOneTimeToken("used")
        self.user, self.record = user, record
        self._require_time()

    def redeem(self, *stages: Document) -> None:
        """Spend the token and change the user by `stages`, from `accounts.updates`: both at once, or neither.

        Raises:
            InvalidOneTimeToken: another request was faster, or its time has run out.
            EmailTaken: another user has the new address.

        """
        if not self.spend_if({}, *stages):
            raise InvalidOneTimeToken("used")

    def spend_if(self, allowed: Document, *stages: Document) -> bool:
        """Do what `redeem` does under one more condition, from `permission`; return False when only that has failed."""
        now = clock.utcnow()
        if services.one_time_tokens.redeem(self.user["_id"], self._purpose, self._digest, now, *stages, **allowed):
            return True
        Redemption(self._purpose, self._text)  # raises if the token is no longer good
        return False

    def _require_time(self) -> None:
        if self.record["expires_at"] <= clock.utcnow():
            raise InvalidOneTimeToken("expired")
