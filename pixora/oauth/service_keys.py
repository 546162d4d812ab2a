"""The keys with which other services authenticate. `SERVICE_KEYS` has their SHA-256 hashes."""

import hashlib
import hmac
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import request

from pixora.errors import DatabaseUnavailable, RateLimited
from pixora.oauth import basic
from pixora.oauth.errors import InvalidClient, InvalidServiceKey
from pixora.services import services
from pixora.throttling.counters import Bucket
from pixora.web.blueprint import documented, fails, reject_undeclared_parameters
from pixora.web.openapi import SERVICE_SCHEME

log = logging.getLogger(__name__)

WRONG_KEYS = "THROTTLE_SERVICE_KEY_PER_IP"
UNKNOWN = ""
"""Stands for all services that `SERVICE_KEYS` does not name, so that invented names create one counter of a network."""


def require_service(view: Callable[..., Any]) -> Callable[..., Any]:
    """Authenticate the calling service by HTTP Basic, and count the call; the outermost decorator but the route's."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        _authenticate()
        reject_undeclared_parameters()
        return view(*args, **kwargs)

    guarded = fails(InvalidServiceKey, RateLimited, DatabaseUnavailable)(guarded)
    return documented(security=[{SERVICE_SCHEME: []}])(guarded)


def _authenticate() -> None:
    """Check the key of the service, and count the request.

    A right key is refused for wrong keys of its service from its network only: a service with a wrong key stops no
    other one, and nobody on another network stops a service. A wrong key is answered without regard to its service, so
    that nobody finds out which names exist. The count of a right key comes after the check, which has no effect of its
    own, and no answer tells of the check before it is counted: parallel guesses cannot exceed the limit.

    Raises:
        InvalidServiceKey: There is no Basic header, no such service, or its key is another one.
        RateLimited: There were too many requests or wrong keys.
        DatabaseUnavailable: The request cannot be counted.

    """
    name, secret = _credentials()
    digest = hashlib.sha256(secret.encode()).digest()
    # Compares with every key, each in constant time.
    matches = [
        (name == service) & hmac.compare_digest(digest, bytes.fromhex(stored))
        for service, stored in services.settings.service_keys
    ]
    if any(matches):
        _count_request(name)
        return
    is_known = any(name == service for service, _ in services.settings.service_keys)
    _count_wrong_key(name if is_known else UNKNOWN)
    log.warning("Refused a service: its name or key is wrong.", extra={"event": "service_refused"})
    raise InvalidServiceKey


def _count_request(service: str) -> None:
    """Count a request with the right key; raise `RateLimited` if the service makes too many.

    Also if too many wrong keys for it came from this network: otherwise the limit would not slow down a search for it.
    """
    wrong_keys = [bucket._replace(counts=False) for bucket in _wrong_keys(service)]
    services.throttles.count(*wrong_keys, services.throttles.bucket("THROTTLE_INTROSPECTION_PER_SERVICE", service))


def _count_wrong_key(service: str) -> None:
    """Count a wrong key; raise `RateLimited` if too many came from this network, whichever services they name.

    So all wrong keys are answered alike: a limit of each service would tell which names exist. The counter of the
    service is the one that the right key asks. It counts refused keys too: as a wrong key is refused where the right
    one is accepted, those are guesses as well.
    """
    services.throttles.try_count(*_wrong_keys(service))
    services.throttles.count(*services.throttles.by_network(WRONG_KEYS, request.remote_addr))


def _wrong_keys(service: str) -> list[Bucket]:
    return services.throttles.by_network(WRONG_KEYS, request.remote_addr, service)


def _credentials() -> basic.Credentials:
    try:
        credentials = basic.credentials()
    except InvalidClient as error:
        raise InvalidServiceKey from error
    if credentials is None:
        raise InvalidServiceKey
    return credentials
