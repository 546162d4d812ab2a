"""Throttles: how many guesses at passwords, and how many sign-ups, are let through.

A guess is counted before it is checked, or else many at once would all be let through. The verdict then settles it: a
wrong guess stays counted, a right one is handed back, as is one that came to no verdict.

What a guess meets when a limit is reached depends on the guesses before it. Those that were wrong stay until the window
ends: it is refused at once. Those still in flight may turn out right: it waits for their verdict. So of many wrong
guesses at once no more than the limit are ever checked, and right ones all get in, however many come together. A
worker that is killed leaves its guesses in flight: they count until the window ends.

Where the counts are out of reach, nothing is let through.
"""

import hashlib
import ipaddress
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from flask import Flask, current_app
from limits import parse
from werkzeug.local import LocalProxy

from pixora import metrics
from pixora.counts import Bucket, Counts, Taken, Window
from pixora.errors import RateLimited

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 15
"""How long a guess waits for the verdict on others: time to hash 40 passwords on two cores, twice over."""

POLL_SECONDS = 0.05, 0.25
"""Between two looks while it waits: at first, and at most."""


@dataclass
class Guess:
    """A guess at a password. Whoever checks it says whether it was right.

    Attributes:
        right: Whether it was.
        fills: The names of the limits that are used up if it was wrong. Guesses that were in flight before it, and turn
            out right, may still make room; but no limit is ever used up without a wrong guess of which this tells.

    """

    right: bool = False
    fills: list[str] = field(default_factory=list)


class Throttles:
    """The throttles of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, counts: Counts, settings: Mapping[str, Any]) -> None:
        self._counts = counts
        self._limits = {name: parse(limit) for name, limit in settings.items() if name.startswith("THROTTLE_")}

    def count_sign_up(self, address: str | None) -> None:
        """Count an attempt to sign up, whatever becomes of it.

        Args:
            address: The client's.

        Raises:
            RateLimited: there have been too many from its network.

        """
        self._count(self._bucket("THROTTLE_SIGNUP_PER_IP", network(address)))

    def count_mail(self, *emails: str) -> None:
        """Count letters that a request asks for.

        Args:
            emails: The addresses of the account that asks and of those that are to be written to, in canonical form;
                whether or not they have accounts.

        Raises:
            RateLimited: there have been too many for one of them.

        """
        for email in emails:
            self._count(self._mail_bucket(email))

    def mail_may_go(self, email: str) -> bool:
        """Count a letter as `count_mail` does, and tell whether it may go, in one operation either way."""
        with self._counts.deadline("throttles.count"):
            may_go = self._counts.hit(self._mail_bucket(email))
        if not may_go:
            metrics.throttled("THROTTLE_MAIL_PER_ACCOUNT").inc()
        return may_go

    def forget(self, email: str) -> None:
        """Forget what was counted for an account, whose address in canonical form this was."""
        names = "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "THROTTLE_LOGIN_PER_ACCOUNT", "THROTTLE_MAIL_PER_ACCOUNT"
        with self._counts.deadline("throttles.forget"):
            self._counts.forget(*(f"{self._limits[name].namespace}/{name}/{_account(email)}/" for name in names))

    @contextmanager
    def guess(self, email: str, address: str | None) -> Iterator[Guess]:
        """Count a guess at a password, before the `with` block that checks it, and settle it after.

        The block sets `right`. When it raises, there was no verdict, and the guess is handed back.

        Args:
            email: The address of the account, whether or not there is one, in canonical form.
            address: The client's.

        Raises:
            RateLimited: there have been too many wrong guesses.

        """
        account, client = _account(email), network(address)
        taken = self._take(
            self._bucket("THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", account, client),
            self._bucket("THROTTLE_LOGIN_PER_ACCOUNT", account),
            self._bucket("THROTTLE_LOGIN_PER_IP", client),
        )
        guess = Guess(fills=taken.fills)
        with taken.handed_back_on_failure():
            yield guess
        with self._counts.deadline("throttles.settle"):
            if guess.right:
                taken.hand_back()
            else:
                taken.keep()

    def _take(self, *buckets: Bucket) -> Taken:
        """Count a guess; wait for that while there are guesses in flight that could make room."""
        patience = time.monotonic() + PATIENCE_SECONDS
        pause, longest = POLL_SECONDS
        while (taken := self._try(*buckets)) is None:
            if time.monotonic() >= patience:
                raise _refusal(*map(Window, buckets))
            time.sleep(pause)
            pause = min(pause * 1.5, longest)
        return taken

    def _try(self, *buckets: Bucket) -> Taken | None:
        """Count a guess; return None when there is no room but there may be, raise when there is not."""
        taken = self._counts.nothing_taken()
        with taken.handed_back_on_failure(), self._counts.deadline("throttles.take"):
            windows = self._counts.look(*buckets)
            if spent := [window for window in windows if window.is_spent]:
                raise _refusal(*spent)
            if any(window.is_full for window in windows) or not self._counts.take(windows, taken):
                return None
        return taken

    def _count(self, bucket: Bucket) -> None:
        with self._counts.deadline("throttles.count"):
            if not self._counts.hit(bucket):
                raise _refusal(*self._counts.look(bucket))

    def _mail_bucket(self, email: str) -> Bucket:
        return self._bucket("THROTTLE_MAIL_PER_ACCOUNT", _account(email))

    def _bucket(self, name: str, *who: str) -> Bucket:
        limit = self._limits[name]
        return Bucket(name, limit, limit.key_for(name, *who))


def network(address: str | None) -> str:
    """Return the network of a client: IPv4 addresses stand for themselves, of IPv6 a client has a /64.

    Whoever has no address that can be read, as on a Unix socket, shares one network.
    """
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
        ip = ip.ipv4_mapped
    return str(ip)


def _account(email: str) -> str:
    return hashlib.sha256(email.encode()).hexdigest()


def _refusal(*windows: Window) -> RateLimited:
    names = [window.bucket.name for window in windows]
    for name in names:
        metrics.throttled(name).inc()
    log.warning("Refused: too many attempts.", extra={"event": "rate_limited", "limits": names})
    return RateLimited(max(window.seconds_left for window in windows))


def init_app(app: Flask) -> None:
    """Give `app` its throttles; after `database.init_app`."""
    app.extensions["throttles"] = Throttles(Counts(app.extensions["database"]), app.config)


throttles = cast(Throttles, LocalProxy(lambda: current_app.extensions["throttles"]))
"""The throttles of the current application."""
