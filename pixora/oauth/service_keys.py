"""The keys with which other services authenticate. `SERVICE_KEYS` has their SHA-256 hashes."""

import hashlib
import hmac
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from pixora.errors import DatabaseUnavailable, RateLimited
from pixora.oauth import basic
from pixora.oauth.errors import InvalidServiceKey
from pixora.services import services
from pixora.web.blueprint import documented, fails, reject_undeclared_parameters
from pixora.web.openapi import SERVICE_SCHEME

log = logging.getLogger(__name__)


def require_service(view: Callable[..., Any]) -> Callable[..., Any]:
    """Authenticate the calling service by HTTP Basic, and count the call; the outermost decorator but the route's."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        name = _authenticate()
        services.throttles.count(services.throttles.bucket("THROTTLE_INTROSPECTION_PER_SERVICE", name))
        reject_undeclared_parameters()
        return view(*args, **kwargs)

    guarded = fails(InvalidServiceKey, RateLimited, DatabaseUnavailable)(guarded)
    return documented(security=[{SERVICE_SCHEME: []}])(guarded)


def _authenticate() -> str:
    """Return the name of the service.

    Keys are random and long, so one fast hash is enough, and wrong ones need no throttle: nobody can try 2^256.

    Raises:
        InvalidServiceKey: There is no Basic header, no such service, or its key is another one.

    """
    credentials = basic.credentials()
    if credentials is None:
        raise InvalidServiceKey
    digest = hashlib.sha256(credentials.secret.encode()).digest()
    # Compares with every key, each in constant time, so the time does not tell which services exist.
    matches = [
        (credentials.name == name) & hmac.compare_digest(digest, bytes.fromhex(stored))
        for name, stored in services.settings.service_keys
    ]
    if not any(matches):
        log.warning("Refused a service: its name or key is wrong.", extra={"event": "service_refused"})
        raise InvalidServiceKey
    return credentials.name
