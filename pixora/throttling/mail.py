"""Limits of the e-mails to an address, and of the requests that cause them.

`THROTTLE_MAIL_PER_ACCOUNT`, five an hour, counts all e-mails to an address, and `THROTTLE_MAIL_PER_IP` the requests
of a network. A failed request counts nothing. The five are divided into shares, so that strangers cannot exhaust what
the owner needs:

- At most three for what anyone can cause: password reset links, sign-up, change of another account to this address. Of
  these, one requester (the network of a reset, the account of a change) causes at most two, and never the last. One of
  them may be the e-mail that says that the address is taken.
- At most three for what only the user of the account causes: verification, notices to an unverified address.
- At most four of both. So one is kept for the user, whatever strangers request.
- The fifth is kept for a reset link when none was sent for as long as one is valid.

So when a requested link is not sent, the newest one in the mailbox is still valid. A single counter fails: with five
requests, a stranger would keep every link from the owner for an hour. A limit under four has no shares. A security
notice to a verified address is neither counted nor suppressed, because its causes are limited.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from limits import RateLimitItem, parse

from pixora import emails
from pixora.observability import metrics
from pixora.throttling.counters import Bucket
from pixora.throttling.limits import CHANGES, LOGIN, Throttles, networks

NAME = "THROTTLE_MAIL_PER_ACCOUNT"

RESET_LINK = "RESET_LINK"
"""Counts the last reset link, until it is used: then the mailbox has no valid one any more."""

EMAIL_CHANGE = "EMAIL_CHANGE"
"""Counts the changes of address that an account has requested."""

RESET_LINK_LIMIT: RateLimitItem = parse("1 per 30 minute")
"""As long as a password reset link is valid."""

MIN_SHARED = 4
"""A smaller limit has no shares."""


class MailThrottles:
    """The limits of e-mails of one application. Every method may raise `DatabaseUnavailable`.

    The context managers count an e-mail and return whether it may be sent; if their block raises, they take that back.
    Addresses are in canonical form, with or without an account.
    """

    def __init__(self, throttles: Throttles) -> None:
        self._throttles = throttles
        limit = throttles.limit(NAME).amount
        has_shares = limit >= MIN_SHARED
        self._has_shares = has_shares
        self._usual = limit - 1 if has_shares else limit
        self._own = self._anyone = limit - 2 if has_shares else limit
        self._requester = limit // 2 if has_shares else limit
        self._taken = max(1, limit // 5) if has_shares else limit

    def count_request(self, client_ip: str | None) -> None:
        """Count a request for an e-mail, sent or not; raise `RateLimited` if its network makes too many."""
        self._throttles.count(*self._throttles.by_network("THROTTLE_MAIL_PER_IP", client_ip))

    def count_email_change(self, email: str) -> None:
        """Count a requested change of address; raise `RateLimited` if the account requests too many."""
        limit = self._throttles.limit(NAME)
        self._throttles.count(Bucket(NAME, limit, self._throttles.key(limit, EMAIL_CHANGE, email), limit.amount))

    def clear_limits(self, email: str) -> None:
        """Forget what limits an account whose owner has proved access to the mailbox: a thief may have used it up.

        E-mails that were sent stay counted, and so do wrong codes of the second factor, which protects from somebody
        who reads the mailbox (`pixora.throttling.second_factor`).
        """
        self._throttles.forget(email, *LOGIN, CHANGES, EMAIL_CHANGE, RESET_LINK)

    def for_account(self, email: str, *, required: bool = False) -> AbstractContextManager[bool]:
        """Count an e-mail that only the user of the account causes; raise `RateLimited` if required and too many."""
        buckets = [self._bucket(email, "own", self._own), self._bucket(email, "all", self._usual)]
        return self._throttles.counted(*buckets) if required else self._counted(buckets)

    def sign_up(self, email: str) -> AbstractContextManager[bool]:
        """Count the e-mail to a new user."""
        return self._counted(self._from_anyone(email))

    def email_change(self, email: str, requester: str, *, required: bool) -> AbstractContextManager[bool]:
        """Count the link for an account, the requester, to change to an address; raise `RateLimited` likewise."""
        return self._counted(*self._from_requester(email, requester), required=required)

    def notice(self, user: Mapping[str, Any]) -> AbstractContextManager[bool]:
        """Count a security notice to a user, which is always sent if the address is verified."""
        verified = user.get("email_verified")
        return nullcontext(enter_result=True) if verified else self.for_account(emails.canonical(user["email"]))

    def address_taken(self, email: str, requester: str | None = None) -> AbstractContextManager[bool]:
        """Count an e-mail that tells the owner of an address that somebody tried to use it.

        For the account that requests a change to it, the database does the same as for an address that is free.
        """
        taken = self._bucket(email, "taken", self._taken)
        alternatives = self._from_requester(email, requester) if requester else [self._from_anyone(email)]
        return self._counted(*([taken, *buckets] for buckets in alternatives))

    def reset_link(self, email: str, client_ip: str | None) -> AbstractContextManager[bool]:
        """Count a password reset link, which anyone may request."""
        link = self._link(email)
        usual = self._from_requester(email, networks(client_ip)[-1])
        alternatives = [[*buckets, link._replace(restarts=True)] for buckets in usual]
        if self._has_shares:
            alternatives.append([link, self._bucket(email, "last", 1)])
        return self._counted(*alternatives)

    @contextmanager
    def _counted(self, *alternatives: list[Bucket], required: bool = False) -> Iterator[bool]:
        for buckets in alternatives:
            if self._throttles.try_count(*buckets):
                with self._throttles.refunded_on_failure(*buckets):
                    yield True
                return
        if required:
            with self._throttles.counted(*alternatives[-1]):  # raises, unless a window has ended meanwhile
                yield True
            return
        metrics.throttled(NAME).inc()
        yield False

    def _from_requester(self, email: str, requester: str) -> list[list[Bucket]]:
        """Return the alternatives for what anyone can cause: the first of a requester, or one that is not the last."""
        first = self._throttles.bucket(NAME, email, "requester", requester, amount=1 if self._has_shares else None)
        if not self._has_shares:
            return [[first, *self._from_anyone(email)]]
        leaving_one = self._bucket(email, "anyone", self._anyone - 1)
        further = [first._replace(amount=self._requester), leaving_one, self._bucket(email, "all", self._usual)]
        return [[first, *self._from_anyone(email)], further]

    def _from_anyone(self, email: str) -> list[Bucket]:
        return [self._bucket(email, "anyone", self._anyone), self._bucket(email, "all", self._usual)]

    def _bucket(self, email: str, what: str, amount: int) -> Bucket:
        return self._throttles.bucket(NAME, email, what, amount=amount)

    def _link(self, email: str) -> Bucket:
        key = self._throttles.key(RESET_LINK_LIMIT, RESET_LINK, email)
        return Bucket(NAME, RESET_LINK_LIMIT, key, RESET_LINK_LIMIT.amount)
