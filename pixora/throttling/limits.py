"""Throttles: limits of logins, sign-ups, password changes and e-mails for each account and network.

An attempt to log in is counted before the password is checked, or else parallel attempts would outrun the limit. While
it is in flight it takes room in its counters (`pixora.throttling.counters`). Then a wrong attempt stays counted, and a
correct one is handed back, like one without a verdict.

Where wrong attempts have reached the limit, the next attempt is refused at once. Where attempts in flight fill the rest
of it, the next one waits for their verdicts. So of many parallel attempts no more wrong ones than the limit are
checked, and all correct ones succeed. An attempt in flight has a lease, which expires when its worker was killed or its
verdict could not be written.

The simple form, to count failures after the check, lets any number of parallel attempts through. To count every attempt
and take the correct ones back refuses the colleagues of one office who log in at the same time. A lock for each account
is lost or held for ever when its worker is killed.

Accounts and networks are counted under keyed hashes. Without access to the counters, every request is refused.
"""

import hmac
import ipaddress
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta

from limits import RateLimitItem, parse

from config import Settings
from pixora.database import deadline
from pixora.errors import DatabaseUnavailable, RateLimited
from pixora.observability import metrics
from pixora.passwords.queue import FREE_THREADS
from pixora.throttling.counters import Attempt, Bucket, Counters, Window
from pixora.tokens.crypto import derived_key

log = logging.getLogger(__name__)

LEASE_MARGIN = timedelta(seconds=5)
"""A lease lasts twice the timeout of the hashing queue, plus that of the database, plus this."""

TIMEOUT_SECONDS = 15
"""How long an attempt waits for the verdicts on others: twice the time to hash 40 passwords on two cores."""

POLL_SECONDS = 0.05, 0.5
"""How long it waits between two looks: at first, and at most."""

WAITING_SHARE = 0.75
"""The share of a worker's slots that waiting attempts may take."""

WIDE_PREFIX = 48
"""The largest IPv6 network that providers give to one customer: 65,536 networks of /64 (RFC 6177)."""

WIDE_FACTOR = 5
"""A /48 has five times the limits of a /64: too little to exhaust the limit of an account. (Let's Encrypt allows a /48
fifty times the sign-ups of an address, but has no accounts to lock people out of.)"""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as IPv6 addresses (RFC 6052)."""

PER_ACCOUNT_AND_IP, PER_ACCOUNT = LOGIN = "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "THROTTLE_LOGIN_PER_ACCOUNT"
"""The settings that count the attempts to log in to an account, by its canonical e-mail address."""

CHANGES = "THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT"
"""The setting that counts changes of the password and, apart from them, of second factors and of passkeys."""

NAMESPACE = "LIMITER"
"""With it `limits` begins the keys of counters."""

REMEMBERED_SECONDS = 1.0
"""How long a worker refuses attempts by a spent limit without the database. For so long another worker does not know
yet that a proof of the mailbox has cleared the limits of an account."""

MAX_REMEMBERED = 1024
"""Spent limits that a worker remembers."""


class Throttles:
    """The throttles of one application. Methods that count may raise `DatabaseUnavailable`."""

    def __init__(self, counters: Counters, settings: Settings) -> None:
        self._counters = counters
        self._spent = SpentLimits()
        self._limits = {
            name.upper(): parse(limit) for name, limit in vars(settings).items() if name.startswith("throttle_")
        }
        self._key = derived_key(settings.secret_key, "pixora throttles 1")
        self._waiting = threading.Semaphore(int(WAITING_SHARE * max(0, settings.gunicorn_threads - FREE_THREADS)))

    def limit(self, name: str) -> RateLimitItem:
        """Return the limit of a setting."""
        return self._limits[name]

    def change(self, *subject: str) -> AbstractContextManager[bool]:
        """Count a change of credentials, unless the `with` block raises; raise `RateLimited` if there were too many.

        The subject is the canonical e-mail address and, for other credentials than the password, their kind.
        """
        return self.counted(self.bucket(CHANGES, *subject))

    def attempt(self, email: str, client_ip: str | None) -> AbstractContextManager[Attempt]:
        """Count an attempt to check a password before the `with` block checks it, and settle it afterwards.

        The block sets `is_correct`. When it raises, there is no verdict and the attempt is handed back. The e-mail is
        in canonical form; the account may not exist.

        Raises:
            RateLimited: There have been too many wrong attempts.
            DatabaseUnavailable: Also when a wrong attempt cannot be counted: then the client gets no verdict.

        """
        return self.settled(
            # In this order: a refused network creates no counters for accounts and takes no room in them.
            *self.by_network("THROTTLE_LOGIN_PER_IP", client_ip),
            *self.by_network(PER_ACCOUNT_AND_IP, client_ip, email),
            self.bucket(PER_ACCOUNT, email),
        )

    @contextmanager
    def settled(self, *buckets: Bucket) -> Iterator[Attempt]:
        """Count an attempt in flight in its buckets, give it to the `with` block, and settle it by `is_correct`."""
        attempt = Attempt(*buckets)
        with self._handed_back_on(DatabaseUnavailable, attempt):
            self._take(attempt)
        with self._handed_back_on(BaseException, attempt):
            yield attempt
        if attempt.is_correct:
            with suppress(DatabaseUnavailable):
                self._counters.hand_back(attempt)
        else:
            self._counters.keep(attempt)
            attempt.limits_reached = self._counters.limits_reached_by(attempt)

    @contextmanager
    def _handed_back_on(self, failure: type[BaseException], attempt: Attempt) -> Iterator[None]:
        try:
            yield
        except failure:
            with suppress(DatabaseUnavailable):  # then its lease expires
                self._counters.hand_back(attempt)
            raise

    def count(self, *buckets: Bucket) -> None:
        """Count one in each bucket; if one is full, count nothing and raise `RateLimited`."""
        if not self._counters.count(*buckets):
            raise self._refusal(*self._counters.read(*buckets))

    def try_count(self, *buckets: Bucket) -> bool:
        """Count one in each bucket; if one is full, count nothing and return False. Usually one command."""
        return self._counters.count(*buckets)

    @contextmanager
    def counted(self, *buckets: Bucket) -> Iterator[bool]:
        """Count one in each bucket, unless the `with` block raises; raise `RateLimited` if one is full."""
        self.count(*buckets)
        with self.refunded_on_failure(*buckets):
            yield True

    @contextmanager
    def refunded_on_failure(self, *buckets: Bucket) -> Iterator[None]:
        """Take back what was counted if the `with` block raises."""
        try:
            yield
        except BaseException:
            with suppress(DatabaseUnavailable):
                self._counters.refund(*buckets)
            raise

    def bucket(self, name: str, *subject: str, amount: int | None = None, moves: bool = False) -> Bucket:
        """Return the bucket of a setting for a subject, with the amount of the limit or another one."""
        limit = self._limits[name]
        return Bucket(name, limit, self.key(limit, name, *subject), amount or limit.amount, moves=moves)

    def by_network(self, name: str, client_ip: str | None, *subject: str) -> list[Bucket]:
        """Return the buckets of a setting for the network of a client and, for IPv6, for the wide network around it."""
        bucket, *wide = [self.bucket(name, *subject, network) for network in networks(client_ip)]
        return [bucket, *(one._replace(amount=WIDE_FACTOR * one.amount) for one in wide)]

    def key(self, limit: RateLimitItem, name: str, *subject: str) -> str:
        """Return the key of a counter. The subject, such as an e-mail address and a network, is hashed."""
        return limit.key_for(name, *map(self._hash, subject))

    def forget(self, first: str, *names: str) -> None:
        """Forget all counters of these settings whose subject begins with `first`, for example from all networks."""
        self._counters.forget(*(f"{NAMESPACE}/{name}/{self._hash(first)}/" for name in names))
        self._spent.clear()

    def _hash(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()[:32]

    def _take(self, attempt: Attempt) -> None:
        """Take room for an attempt; wait while attempts in flight may make room."""
        if spent := self._spent.find(attempt.buckets):
            raise self._refusal(*spent)
        if self._counters.take(attempt):
            return
        full = self._full(attempt)
        # Waiting attempts leave some slots to others.
        if not self._waiting.acquire(blocking=False):
            raise self._refusal(*full)
        try:
            self._wait(attempt, full)
        finally:
            self._waiting.release()

    def _wait(self, attempt: Attempt, full: list[Window]) -> None:
        give_up_at = time.monotonic() + TIMEOUT_SECONDS
        pause, longest = POLL_SECONDS
        while full or not self._counters.take(attempt):
            if time.monotonic() >= give_up_at:
                raise self._refusal(*full)
            time.sleep(pause)
            looked = time.monotonic()
            with deadline.paused():
                full = self._full(attempt)
            # Ask a slow database no more often than it answers.
            pause = min(max(pause * 1.5, time.monotonic() - looked), longest)

    def _full(self, attempt: Attempt) -> list[Window]:
        """Return the windows that attempts in flight have filled; raise `RateLimited` if wrong ones fill one alone."""
        windows = self._counters.read(*attempt.buckets)
        if spent := [window for window in windows if window.is_spent]:
            self._spent.note(spent)
            raise self._refusal(*spent)
        return [window for window in windows if window.is_full]

    def _refusal(self, *windows: Window) -> RateLimited:
        """Log a refusal by the windows that are full, and return its error."""
        full = [window for window in windows if window.is_full]
        names = list(dict.fromkeys(window.bucket.name for window in full))
        for name in names:
            metrics.throttled(name).inc()
        log.warning("Refused a request: too many attempts.", extra={"event": "rate_limited", "limits": names})
        return RateLimited(max((window.retry_after for window in full), default=1))


class SpentLimits:
    """Windows that wrong attempts have filled, as a worker has read them: no attempt is accepted before they end.

    A refusal takes two or three commands, and a client that goes on in spite of it would have MongoDB work as hard as
    for logins.
    """

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, Window]] = {}

    def note(self, windows: Iterable[Window]) -> None:
        """Remember spent windows, but not past their end."""
        now = time.monotonic()
        if len(self._windows) >= MAX_REMEMBERED:
            self.clear()
        for window in windows:
            until = now + min(REMEMBERED_SECONDS, window.seconds_left - 1)  # which is rounded up
            self._windows[window.bucket.key] = until, window

    def find(self, buckets: Iterable[Bucket]) -> list[Window]:
        """Return the windows of these buckets that are known to be spent."""
        now = time.monotonic()
        known = (self._windows.get(bucket.key) for bucket in buckets)
        return [window for until, window in filter(None, known) if now < until]

    def clear(self) -> None:
        """Ask the database again."""
        self._windows = {}


def networks(client_ip: str | None) -> list[str]:
    """Return the networks under which a client is counted: an IPv4 address, or the /64 and the /48 of an IPv6 address.

    An IPv4 address within an IPv6 one counts as itself; otherwise all clients behind a NAT64 would share one /64.
    All clients without a readable address, as on a Unix socket, share the network `unknown`.
    """
    try:
        ip = ipaddress.ip_address(client_ip or "")
    except ValueError:
        return ["unknown"]
    ip = (isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip
    if ip in NAT64:
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.version == 4:
        return [str(ip)]
    return [str(ipaddress.IPv6Network((int(ip) >> 128 - size << 128 - size, size))) for size in (64, WIDE_PREFIX)]
