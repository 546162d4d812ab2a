"""What reverse proxies say about a request: the client's IP address and the scheme, as far as they are believed.

Werkzeug's ProxyFix would do, were it not for two things: it takes a quotation mark, which any client can send, for the
beginning of a value that goes on over the proxies' own; and it hands on what is no address, such as one with a port.
"""

import ipaddress
import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Flask, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

PEER = "pixora.peer"
"""Where the address that the connection comes from is kept in the WSGI environment."""

MAX_LENGTH = 64
"""Of what may be an IP address, in characters."""

WITH_PORT = re.compile(r"(?:\[([^]]+)\]|([0-9.]+))(?::[0-9]{1,5})?", re.ASCII)


class Forwarding:
    """WSGI middleware: puts the client's IP address and scheme in the place of the last proxy's."""

    def __init__(self, app: "WSGIApplication", proxies: int) -> None:
        self._app = app
        self._proxies = proxies
        self._has_told = False

    def __call__(self, environment: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        peer = environment.get("REMOTE_ADDR") or ""
        environment[PEER] = peer
        environment["REMOTE_ADDR"] = client_ip(peer) or peer
        if self._proxies:
            self._set_client(environment)
            scheme = self._believed(environment.get("HTTP_X_FORWARDED_PROTO", ""))[:1]
            if scheme and scheme[0] in ("http", "https"):
                environment["wsgi.url_scheme"] = scheme[0]
        return self._app(environment, start_response)

    def _set_client(self, environment: "WSGIEnvironment") -> None:
        believed = self._believed(environment.get("HTTP_X_FORWARDED_FOR", ""))
        if not believed:
            return
        # The first is the client. What cannot be read gives way to the next proxy on the way to us: whoever comes
        # through that one shares its limits, as if it had told of nobody.
        readable = [ip for ip in map(client_ip, believed) if ip]
        if readable:
            environment["REMOTE_ADDR"] = readable[0]
        if client_ip(believed[0]) is None and not self._has_told:
            self._has_told = True  # once a worker: it is so for every request, or somebody's own doing
            log.error(
                "X-Forwarded-For does not have the client's IP address where PROXY_COUNT says; the throttles take all "
                "such clients for one. Run the doctor.",
                extra={"event": "client_unreadable", "value": believed[0][:MAX_LENGTH]},
            )

    def _believed(self, header: str) -> list[str]:
        """Return the values that proxies have appended, the farthest first; none where there are fewer than proxies."""
        values = [value.strip() for value in header.split(",")] if header.strip() else []
        return values[-self._proxies :] if len(values) >= self._proxies else []


@lru_cache(maxsize=1024)
def client_ip(text: str) -> str | None:
    """Return the IP address in what a proxy says of a client, in its usual form; None where there is none.

    A port after it is dropped, as some gateways append it (``203.0.113.7:40001``, ``[2001:db8::7]:443``), and so are
    brackets, quotation marks and the zone of a link-local address. An IPv4 address in IPv6's clothes is one of IPv4.
    """
    bare = text.strip().removeprefix('"').removesuffix('"') if len(text) <= MAX_LENGTH else ""
    found = WITH_PORT.fullmatch(bare)
    try:
        ip = ipaddress.ip_address((found[1] or found[2] if found else bare).partition("%")[0])
    except ValueError:
        return None
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def peer() -> str:
    """Return the address that the connection comes from: of a proxy, where there is one; empty where there is none."""
    return str(request.environ[PEER])


def init_app(app: Flask) -> None:
    """Have `app` believe as many proxies as `PROXY_COUNT` says.

    X-Forwarded-Host, -Port and -Prefix are not believed: the Host header carries what we need, and a proxy that does
    not set these three would hand on the client's.
    """
    app.wsgi_app = Forwarding(app.wsgi_app, app.config["PROXY_COUNT"])  # type: ignore[assignment,method-assign]
