"""Throttles: how many attempts at passwords, sign-ups and e-mails are let through.

An attempt to log in is counted before the password is checked, or else many at once would all be let through. The
verdict then settles it: a wrong attempt stays counted; a right one is handed back, and so is one without a verdict.

What an attempt meets when a limit is reached depends on the attempts before it. Those that were wrong stay until the
window ends: it is refused at once. Those in flight may turn out right: it waits for their verdict. So of many wrong
attempts at once no more than the limit are ever checked, and right ones all get in, however many come together. What is
in flight has a lease: when its worker is killed, or its verdict cannot be written, it counts until the lease ends.

Accounts and networks are counted under keyed hashes. Where the counters are out of reach, nothing is let through.
"""

import hmac
import ipaddress
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from limits import RateLimitItem, parse

from pixora.database import deadline
from pixora.errors import DatabaseUnavailable, RateLimited
from pixora.observability import metrics
from pixora.passwords.queue import FREE_THREADS
from pixora.throttling.counters import Attempt, Bucket, Counters, Window
from pixora.tokens.crypto import derived_key

log = logging.getLogger(__name__)

LEASE_MARGIN = timedelta(seconds=5)
"""A lease is twice the time in the hashing room, and that of the database, and this."""

TIMEOUT_SECONDS = 15
"""How long an attempt waits for the verdict on others: time to hash 40 passwords on two cores, twice over."""

POLL_SECONDS = 0.05, 0.5
"""Between two looks while it waits: at first, and at most."""

WAITING_SHARE = 0.75
"""Of the seats of a worker, those that may be taken by attempts that wait for others."""

WIDE_PREFIX = 48
"""What one customer of a provider may have of IPv6, and get 65,536 networks (/64) out of (RFC 6177)."""

WIDE_FACTOR = 5
"""A /48 has five times the limits of a /64: so few that it cannot use up the limit of an account. (Let's Encrypt gives
a /48 fifty times the sign-ups of an address, and has no accounts to lock people out of.)"""


class Throttles:
    """The throttles of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, counters: Counters, settings: Mapping[str, Any]) -> None:
        self._counters = counters
        self._limits = {name: parse(limit) for name, limit in settings.items() if name.startswith("THROTTLE_")}
        self._key = derived_key(settings["SECRET_KEY"], "pixora throttles 1")
        places = int(WAITING_SHARE * max(0, settings["GUNICORN_THREADS"] - FREE_THREADS))
        self._waiting = threading.Semaphore(places)

    def limit(self, name: str) -> RateLimitItem:
        """Return what a setting says."""
        return self._limits[name]

    def count_sign_up(self, address: str | None) -> None:
        """Count an attempt to sign up, whatever becomes of it.

        Args:
            address: The client's.

        Raises:
            RateLimited: there have been too many from its network.

        """
        self.count(*self.by_network("THROTTLE_SIGNUP_PER_IP", address))

    @contextmanager
    def password_change(self, email: str) -> Iterator[None]:
        """Count a change of the password, before the `with` block that makes it; not when that raises.

        Args:
            email: The address of the account, in canonical form.

        Raises:
            RateLimited: there have been too many.

        """
        bucket = self.bucket("THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT", email)
        self.count(bucket)
        with self.refunded_on_failure(bucket):
            yield

    def clear_login(self, email: str) -> None:
        """Forget the attempts to log in to an account, whose address in canonical form this is, from all networks."""
        for name in ("THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "THROTTLE_LOGIN_PER_ACCOUNT"):
            self.forget(self._limits[name], name, email)

    @contextmanager
    def attempt(self, email: str, client_ip: str | None) -> Iterator[Attempt]:
        """Count an attempt to check a password before the `with` block checks it, and settle it afterwards.

        The block sets `is_correct`. When it raises, there is no verdict and the attempt is handed back.

        Args:
            email: In canonical form; the account may not exist.
            client_ip: The client's address.

        Raises:
            RateLimited: There have been too many wrong attempts.
            DatabaseUnavailable: Also when a wrong attempt cannot be counted: then the client gets no verdict.

        """
        attempt = Attempt(
            # In this order: a network that is refused makes no counters of accounts, and takes no place of the account.
            *self.by_network("THROTTLE_LOGIN_PER_IP", client_ip),
            *self.by_network("THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", client_ip, email),
            self.bucket("THROTTLE_LOGIN_PER_ACCOUNT", email),
        )
        with self._handed_back_on(DatabaseUnavailable, attempt):
            self._take(attempt)
        with self._handed_back_on(BaseException, attempt):
            yield attempt
        if attempt.is_correct:
            with suppress(DatabaseUnavailable):
                self._counters.hand_back(attempt)
        else:
            self._counters.keep(attempt)
            attempt.limits_reached = self._counters.filled_by(attempt)

    @contextmanager
    def _handed_back_on(self, failure: type[BaseException], attempt: Attempt) -> Iterator[None]:
        try:
            yield
        except failure:
            with suppress(DatabaseUnavailable):  # then its lease ends by itself
                self._counters.hand_back(attempt)
            raise

    def count(self, *buckets: Bucket) -> None:
        """Count something in all of the buckets.

        Raises:
            RateLimited: one of them is full; nothing is counted.

        """
        if not self._counters.count(*buckets):
            raise self._refusal(*self._counters.look(*buckets))

    def may(self, *buckets: Bucket) -> bool:
        """Count something as `count` does, and tell whether it may be; one operation in either case, mostly."""
        return self._counters.count(*buckets)

    @contextmanager
    def refunded_on_failure(self, *buckets: Bucket) -> Iterator[None]:
        """Take back what was counted when the block raises."""
        try:
            yield
        except BaseException:
            with suppress(DatabaseUnavailable):
                self._counters.refund(*buckets)
            raise

    def bucket(self, name: str, *who: str, amount: int | None = None) -> Bucket:
        """Return the bucket of a setting for somebody; `amount`: where it is not the limit's."""
        limit = self._limits[name]
        return Bucket(name, limit, self.key(limit, name, *who), amount or limit.amount)

    def by_network(self, name: str, address: str | None, *who: str, amount: int | None = None) -> list[Bucket]:
        """Return the buckets of a setting for the network of a client, and for the larger one around it, if any."""
        amount = amount or self._limits[name].amount
        buckets = [self.bucket(name, *who, network(address), amount=amount)]
        if around := wide_network(address):
            buckets.append(self.bucket(name, *who, around, amount=WIDE_FACTOR * amount))
        return buckets

    def key(self, limit: RateLimitItem, name: str, *who: str) -> str:
        """Return the key under which somebody is counted."""
        return limit.key_for(name, *map(self._hash, who))

    def forget(self, limit: RateLimitItem, name: str, who: str) -> None:
        """Forget all counters of a name whose first `who` this is."""
        self._counters.forget(f"{limit.namespace}/{name}/{self._hash(who)}/")

    def _hash(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()[:32]

    def _take(self, attempt: Attempt) -> None:
        """Count an attempt; wait for that while there are attempts in flight that could make room."""
        if self._counters.take(attempt):
            return
        full = self._full(attempt)
        # Most seats are kept for who does not wait.
        if not self._waiting.acquire(blocking=False):
            raise self._refusal(*full)
        try:
            self._wait(attempt, full)
        finally:
            self._waiting.release()

    def _wait(self, attempt: Attempt, full: list[Window]) -> None:
        timeout = time.monotonic() + TIMEOUT_SECONDS
        pause, longest = POLL_SECONDS
        while full or not self._counters.take(attempt):
            if time.monotonic() >= timeout:
                raise self._refusal(*full)
            time.sleep(pause)
            looked = time.monotonic()
            with deadline.paused():
                full = self._full(attempt)
            # A database that is slow is not asked more often than it answers.
            pause = min(max(pause * 1.5, time.monotonic() - looked), longest)

    def _full(self, attempt: Attempt) -> list[Window]:
        """Return the windows that what is in flight has filled; raise `RateLimited` when there is one that is spent."""
        windows = self._counters.look(*attempt.buckets)
        if spent := [window for window in windows if window.is_spent]:
            raise self._refusal(*spent)
        return [window for window in windows if window.is_full]

    def _refusal(self, *windows: Window) -> RateLimited:
        """Return the error for what these windows have no room for; those that have room now do not matter."""
        full = [window for window in windows if window.is_full]
        names = list(dict.fromkeys(window.bucket.name for window in full))
        for name in names:
            metrics.throttled(name).inc()
        log.warning("Refused: too many attempts.", extra={"event": "rate_limited", "limits": names})
        return RateLimited(max((window.retry_after for window in full), default=1))


def network(address: str | None) -> str:
    """Return the network of a client: IPv4 addresses stand for themselves, of IPv6 a client has a /64.

    Whoever has no address that can be read, as on a Unix socket, shares one network.
    """
    ip = _address(address)
    if ip is None:
        return "unknown"
    return str(ip) if ip.version == 4 else _around(ip, 64)


def wide_network(address: str | None) -> str | None:
    """Return the larger network that a client of IPv6 may have many out of; None for others."""
    ip = _address(address)
    return None if ip is None or ip.version == 4 else _around(ip, WIDE_PREFIX)


def _address(address: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    return (isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip


def _around(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int) -> str:
    return str(ipaddress.IPv6Network((int(ip) >> 128 - prefix << 128 - prefix, prefix)))
