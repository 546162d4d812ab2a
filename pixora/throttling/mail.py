"""How many e-mails are sent to an address, and who may ask for them.

What is sent is counted by the address it goes to, whatever the reason and whoever asks (`THROTTLE_MAIL_PER_ACCOUNT`,
five an hour), and what is asked for by the network that asks (`THROTTLE_MAIL_PER_IP`). What fails is not counted. Five
are shared out, so that nothing that strangers ask for uses up what the owner needs:

- three at most for what the account itself causes: sign-up, verification, change of address, notices. One of them may
  be the e-mail that says that an address is taken, which strangers cause;
- three at most for links to reset the password, which anyone may ask for, two of them for each network;
- four in all; the fifth is kept for a link to reset the password when none was sent for as long as one is valid.

So whenever a request for a link sends none, the newest one in the mailbox is still valid. A limit under four has no
shares. A security notice to a verified address is neither counted nor suppressed: what causes it has limits.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from limits import RateLimitItem, parse

from pixora import emails
from pixora.observability import metrics
from pixora.throttling.counters import Bucket
from pixora.throttling.limits import Throttles, network, wide_network

NAME = "THROTTLE_MAIL_PER_ACCOUNT"

RESET_LINK: RateLimitItem = parse("1 per 30 minute")
"""For as long as a link to reset the password is valid."""

LEAST_SHARED = 4
"""Of a smaller limit there are no shares."""


class MailThrottles:
    """The throttles of the e-mails of one application. Every method may raise `DatabaseUnavailable`.

    Those that give a context tell in it whether the e-mail may be sent. What the block posts has been counted; when it
    raises, that is taken back. Addresses are in canonical form, whether or not they have accounts.
    """

    def __init__(self, throttles: Throttles) -> None:
        self._throttles = throttles
        most = throttles.limit(NAME).amount
        shared = most >= LEAST_SHARED
        self._most = most
        self._general = most - 1 if shared else most
        self._own = self._resets = most - 2 if shared else most
        self._resets_of_network = most // 2 if shared else most
        self._taken = max(1, most // 5) if shared else most

    def count_request(self, client_ip: str | None) -> None:
        """Count a request that asks for an e-mail, sent or not; raise `RateLimited` when its network asks too often."""
        self._throttles.count(*self._throttles.by_network("THROTTLE_MAIL_PER_IP", client_ip))

    def count_change(self, email: str) -> None:
        """Count a change of address that an account asks for; raise `RateLimited` when it asks too often."""
        self._throttles.count(self._bucket(email, "asks", self._most))

    @contextmanager
    def own(self, email: str, *, required: bool = False) -> Iterator[bool]:
        """Count an e-mail that the user of the account causes.

        Raises:
            RateLimited: it is required, and there have been too many.

        """
        buckets = self._own_buckets(email)
        if not required:
            with self._counted(buckets) as may_go:
                yield may_go
            return
        self._throttles.count(*buckets)
        with self._throttles.refunded_on_failure(*buckets):
            yield True

    @contextmanager
    def notice(self, user: Mapping[str, Any]) -> Iterator[bool]:
        """Count a notice to the address of a user, unless it is verified: then it goes in any case."""
        if user.get("email_verified"):
            yield True
            return
        with self.own(emails.canonical(user["email"])) as may_go:
            yield may_go

    @contextmanager
    def taken(self, email: str) -> Iterator[bool]:
        """Count an e-mail that tells the owner of an address that somebody else has tried to use it."""
        with self._counted([self._bucket(email, "taken", self._taken), *self._own_buckets(email)]) as may_go:
            yield may_go

    @contextmanager
    def reset(self, email: str, client_ip: str | None) -> Iterator[bool]:
        """Count a link to reset the password, asked for by anyone."""
        asks_from = wide_network(client_ip) or network(client_ip)
        usual = [
            self._throttles.bucket(NAME, email, "reset", asks_from, amount=self._resets_of_network),
            self._bucket(email, "reset", self._resets),
            self._bucket(email, "all", self._general),
            self._link(email)._replace(restarts=True),
        ]
        with self._counted(usual, [self._link(email), self._bucket(email, "all", self._most)]) as may_go:
            yield may_go

    def clear_link(self, email: str) -> None:
        """Note that the link was used, and so is no longer in the mailbox."""
        self._throttles.forget(RESET_LINK, "RESET_LINK", email)

    @contextmanager
    def _counted(self, *ways: list[Bucket]) -> Iterator[bool]:
        for buckets in ways:
            if self._throttles.may(*buckets):
                with self._throttles.refunded_on_failure(*buckets):
                    yield True
                return
        metrics.throttled(NAME).inc()
        yield False

    def _own_buckets(self, email: str) -> list[Bucket]:
        return [self._bucket(email, "own", self._own), self._bucket(email, "all", self._general)]

    def _bucket(self, email: str, what: str, amount: int) -> Bucket:
        return self._throttles.bucket(NAME, email, what, amount=amount)

    def _link(self, email: str) -> Bucket:
        return Bucket(NAME, RESET_LINK, self._throttles.key(RESET_LINK, "RESET_LINK", email), RESET_LINK.amount)
