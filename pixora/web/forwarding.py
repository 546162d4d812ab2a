"""The client's IP address and scheme from the headers of trusted reverse proxies, by `PROXY_COUNT`.

Werkzeug's ProxyFix is not used: a quotation mark from the client makes it join the proxies' values to the client's, and
it returns values that are not IP addresses, such as one with a port.
"""

import ipaddress
import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

PEER = "pixora.peer"
"""The key of the connection's own address in the WSGI environment."""

MAX_LENGTH = 64
"""Characters of text that may be an IP address."""

WITH_PORT = re.compile(r"(?:\[([^]]+)\]|([0-9.]+))(?::[0-9]{1,5})?", re.ASCII)


class Forwarding:
    """WSGI middleware that sets the client's IP address and scheme.

    X-Forwarded-Host, -Port and -Prefix are ignored: the Host header is enough, and a proxy that does not set them would
    pass on the client's.
    """

    def __init__(self, app: "WSGIApplication", proxies: int) -> None:
        self._app = app
        self._proxies = proxies
        self._has_logged = False

    def __call__(self, environment: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle a request."""
        peer = environment.get("REMOTE_ADDR") or ""
        environment[PEER] = peer
        environment["REMOTE_ADDR"] = client_ip(peer) or peer
        if self._proxies:
            self._set_client(environment)
            scheme = self._trusted_values(environment.get("HTTP_X_FORWARDED_PROTO", ""))[:1]
            if scheme and scheme[0] in ("http", "https"):
                environment["wsgi.url_scheme"] = scheme[0]
        return self._app(environment, start_response)

    def _set_client(self, environment: "WSGIEnvironment") -> None:
        header = environment.get("HTTP_X_FORWARDED_FOR")
        if header is None:
            return  # as probes that pass no proxy
        values = self._trusted_values(header)
        # The first is the client. If it is missing or unreadable, the next proxy counts as the client: all its clients
        # then share one limit.
        readable = [ip for ip in map(client_ip, values) if ip]
        if readable:
            environment["REMOTE_ADDR"] = readable[0]
        claimed = values[0] if values else header
        if (not values or client_ip(claimed) is None) and not self._has_logged:
            self._has_logged = True  # once a worker: misconfigured proxies do it with every request
            log.error(
                "X-Forwarded-For does not have the client's IP address where PROXY_COUNT says; the throttles count all "
                "such clients as one. Run the doctor.",
                extra={"event": "client_unreadable", "value": claimed[:MAX_LENGTH]},
            )

    def _trusted_values(self, header: str) -> list[str]:
        """Return the values that the proxies appended, the client's first; none if there are fewer than proxies."""
        values = [value.strip() for value in header.split(",")] if header.strip() else []
        return values[-self._proxies :] if len(values) >= self._proxies else []


@lru_cache(maxsize=1024)
def client_ip(text: str) -> str | None:
    """Return the IP address in a forwarding header's value, in its canonical form; None where there is none.

    Ports (``203.0.113.7:40001``, ``[2001:db8::7]:443``), brackets, quotation marks and the zone of a link-local address
    are dropped; an IPv4-mapped address becomes IPv4.
    """
    bare = text.strip().removeprefix('"').removesuffix('"') if len(text) <= MAX_LENGTH else ""
    found = WITH_PORT.fullmatch(bare)
    try:
        ip = ipaddress.ip_address((found[1] or found[2] if found else bare).partition("%")[0])
    except ValueError:
        return None
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def peer() -> str:
    """Return the address of the connection's other end: of the nearest proxy, if any; empty if unknown."""
    return str(request.environ[PEER])
