"""Limits of wrong codes of second factors.

`THROTTLE_SECOND_FACTOR_PER_ACCOUNT` bounds the chance to guess a code: of a million codes at most three are right at a
time, so 30 attempts a day find one with a chance of 9 in 100,000 (docs/second-factor.md). Its window moves, so this
holds for any 24 hours. One network, or one /48, gets at most half of it, so it never locks the owner out from another
network. Recovery codes cannot be guessed: they are limited by account and network only, so no attacker on other
networks can keep the owner from using one.

A password reset does not clear these limits. It proves the mailbox, and the second factor protects from somebody who
reads it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from pixora.throttling.counters import Attempt
from pixora.throttling.limits import Throttles, network, wide_network

PER_NETWORK = "THROTTLE_SECOND_FACTOR_PER_ACCOUNT_AND_IP"
PER_ACCOUNT = "THROTTLE_SECOND_FACTOR_PER_ACCOUNT"


class SecondFactorThrottles:
    """The limits of second factors of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, throttles: Throttles) -> None:
        self._throttles = throttles

    def attempt(self, user_id: str, client_ip: str | None, *, can_be_guessed: bool) -> AbstractContextManager[Attempt]:
        """Count an attempt to check a code, as `Throttles.attempt` does for a password.

        Args:
            user_id: Whose code it must be.
            client_ip: The client's address.
            can_be_guessed: False for a recovery code.

        Raises:
            RateLimited: There have been too many wrong codes.

        """
        buckets = self._throttles.by_network(PER_NETWORK, client_ip, user_id)
        if can_be_guessed:
            origin = wide_network(client_ip) or network(client_ip)
            share = max(1, self._throttles.limit(PER_ACCOUNT).amount // 2)
            buckets.append(self._throttles.bucket(PER_ACCOUNT, user_id, origin, amount=share, moves=True))
            buckets.append(self._throttles.bucket(PER_ACCOUNT, user_id, moves=True))
        return self._throttles.settled(*buckets)

    def is_third_wrong_code(self, user_id: str) -> bool:
        """Count a wrong code; return True for the third one in the period of the account's limit, and for no other."""
        if self._throttles.try_count(self._throttles.bucket(PER_ACCOUNT, user_id, "wrong", amount=2)):
            return False
        return self._throttles.try_count(self._throttles.bucket(PER_ACCOUNT, user_id, "notice", amount=1))

    @contextmanager
    def change(self, user_id: str) -> Iterator[None]:
        """Count a change of second factors unless the `with` block that makes it raises.

        Raises:
            RateLimited: There have been too many.

        """
        bucket = self._throttles.bucket("THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT", "second factor", user_id)
        self._throttles.count(bucket)
        with self._throttles.refunded_on_failure(bucket):
            yield

    def clear(self, user_id: str) -> None:
        """Forget the wrong codes of an account that was deleted."""
        for name in (PER_NETWORK, PER_ACCOUNT):
            self._throttles.forget(self._throttles.limit(name), name, user_id)
