"""Limits of wrong codes of second factors.

`THROTTLE_SECOND_FACTOR_PER_ACCOUNT` bounds the chance to guess a code: of a million codes at most three are right at a
time, so 30 attempts a day find one with a chance of 9 in 100,000 (docs/second-factor.md). Its window moves, so this
holds for any 24 hours. One network, or one /48, gets at most half of it, so it never locks the owner out from another
network. Recovery codes cannot be guessed: they are limited by account and network only, so no attacker on other
networks can keep the owner from using one.

A password reset does not clear these limits. It proves the mailbox, and the second factor protects from somebody who
reads it.
"""

from contextlib import AbstractContextManager

from pixora.throttling.counters import Attempt
from pixora.throttling.limits import Throttles, networks

PER_NETWORK = "THROTTLE_SECOND_FACTOR_PER_ACCOUNT_AND_IP"
PER_ACCOUNT = "THROTTLE_SECOND_FACTOR_PER_ACCOUNT"


class SecondFactorThrottles:
    """The limits of second factors of one application. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, throttles: Throttles) -> None:
        self._throttles = throttles

    def attempt(self, user_id: str, client_ip: str | None, *, can_be_guessed: bool) -> AbstractContextManager[Attempt]:
        """Count an attempt to check a code, as `Throttles.attempt` does a password; no recovery code can be guessed.

        Raises:
            RateLimited: There have been too many wrong codes.

        """
        buckets = self._throttles.by_network(PER_NETWORK, client_ip, user_id)
        if can_be_guessed:
            share = max(1, self._throttles.limit(PER_ACCOUNT).amount // 2)
            origin = networks(client_ip)[-1]
            buckets.append(self._throttles.bucket(PER_ACCOUNT, user_id, origin, amount=share, moves=True))
            buckets.append(self._throttles.bucket(PER_ACCOUNT, user_id, moves=True))
        return self._throttles.settled(*buckets)

    def is_third_wrong_code(self, user_id: str) -> bool:
        """Count a wrong code; return True for the third one in the period of the account's limit, and for no other."""
        if self._throttles.try_count(self._throttles.bucket(PER_ACCOUNT, user_id, "wrong", amount=2)):
            return False
        return self._throttles.try_count(self._throttles.bucket(PER_ACCOUNT, user_id, "notice", amount=1))

    def clear(self, user_id: str) -> None:
        """Forget the wrong codes of an account that was deleted."""
        self._throttles.forget(user_id, PER_NETWORK, PER_ACCOUNT)
