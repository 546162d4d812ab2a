"""The doctor's look through the proxies: is the client that the service sees the one that called.

It calls as a client would who makes up an address, and reads from the answer, see `pixora.system.client_echo`,
what became of that and what the proxies have added.
"""

import http.client
import ipaddress
import json
import secrets
import ssl
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from marshmallow import ValidationError

from pixora.system.client_echo import ClientSchema, make_pass
from pixora.upkeep.findings import Finding, fault, ok, unknown, warning
from pixora.web.forwarding import client_ip

SECONDS = 5
MOST_BYTES = 65536


class Seen(NamedTuple):
    """What the service has seen of us."""

    client: str
    peer: str
    forwarded: list[str]
    proxy_count: int


REFUSALS = {
    "not_found": fault(
        "The service there does not know us: it has another SECRET_KEY, its clock is minutes away, or it is an older "
        "Pixora.",
        "Run this with the settings of the service; see --url, or PUBLIC_URL.",
    ),
    "untrusted_host": fault(
        "The service refuses every request for this host name (400 untrusted_host): TRUSTED_HOSTS does not list it.",
        "Add it to TRUSTED_HOSTS and restart the service, or give a listed one in --url. A proxy must hand on the Host "
        "header of its client.",
    ),
}
"""What it means that Pixora does not tell, by the code of its answer."""


def client(url: str | None, secret_key: str, public_url: str | None = None) -> Iterator[Finding]:
    """Ask the service at `url` what it sees of us, and without a `public_url` where it believes to be."""
    if not url:
        yield unknown("How the service sees its clients was not looked at.", "Give --url, or set PUBLIC_URL.")
        return
    made_up = f"192.0.2.{secrets.randbelow(254) + 1}"  # RFC 5737: nobody's
    headers = {"X-Forwarded-For": made_up, "Authorization": make_pass(secret_key), "Accept": "application/json"}
    try:
        status, body, server = _get(url, "/health/client", headers)
        _, metadata, _ = _get(url, "/.well-known/oauth-authorization-server", {})
    except (OSError, http.client.HTTPException) as error:
        why = "its certificate is not trusted" if isinstance(error, ssl.SSLError) else type(error).__name__
        yield unknown(f"The service cannot be reached there ({why}).", "Is it running? See --url, or PUBLIC_URL.")
        return
    yield _read(status, body, made_up, server)
    if not public_url:
        yield from _judge_metadata(metadata, url)


def _judge_metadata(body: bytes, url: str) -> Iterator[Finding]:
    try:
        uri = str(json.loads(body)["jwks_uri"])
    except (ValueError, TypeError, KeyError):
        return  # not ours, of which the other finding tells
    if not uri.startswith(url.rstrip("/") + "/"):
        yield warning(
            f"The metadata sends other services to {uri}, which is not where clients find the service.",
            "Set PUBLIC_URL, or have the proxy hand on the Host header with its port, and X-Forwarded-Proto.",
        )


def _read(status: int, body: bytes, made_up: str, server: str) -> Finding:
    try:
        told = json.loads(body)
        code = told.get("code") if isinstance(told, dict) else None
        return REFUSALS.get(str(code)) or judge(Seen(**ClientSchema().load(told)), made_up, server)
    except (ValueError, ValidationError):
        return unknown(f"What is there answers {status}, and not as Pixora does.", "See --url, or PUBLIC_URL.")


def judge(seen: Seen, made_up: str, server: str) -> Finding:
    """Compare what the service sees with what was sent.

    Args:
        seen: By the service.
        made_up: The address that was sent as X-Forwarded-For.
        server: The address that answered.

    """
    count = seen.proxy_count
    if not seen.forwarded:
        return fault(
            "A proxy takes X-Forwarded-For away and does not set it: the service cannot tell its clients apart, and "
            f"takes them all for {seen.client}.",
            "Have the proxy set it, as deploy/nginx.conf does, and count it in PROXY_COUNT.",
        )
    # What comes after ours was appended; where ours is gone, all was put in its place.
    ours = seen.forwarded.index(made_up) + 1 if made_up in seen.forwarded else 0
    proxies = len(seen.forwarded) - ours
    number = f"{proxies} {'proxy' if proxies == 1 else 'proxies'}"
    if seen.client == made_up:
        return fault(
            f"PROXY_COUNT is {count}, but only {number} told of us: any client can make up its address, and so escape "
            "the throttles.",
            f"Set PROXY_COUNT={proxies} for the service, and start it anew.",
        )
    if count != proxies:
        return fault(
            f"PROXY_COUNT is {count}, but {number} told of us: the client is hidden, and all that come this way share "
            f"the throttles of {seen.client}.",
            f"Set PROXY_COUNT={proxies} for the service, and start it anew.",
        )
    if count and client_ip(seen.forwarded[-count]) is None:
        return fault(
            f"A proxy writes {seen.forwarded[-count][:40]!r} for us into X-Forwarded-For, which is no IP address: "
            f"all that come this way count as {seen.client}, and share its throttles.",
            "Have the proxy write the address of its client there, as deploy/nginx.conf does.",
        )
    if _is_inner(seen.client) and not _is_inner(server):
        return warning(
            f"The service takes us for {seen.client}, an address of an inner network.",
            "If this machine is not in that network, a proxy before the last one does not tell of its client.",
        )
    return ok(f"The service takes us for {seen.client}, and does not believe what we made up.")


def _get(url: str, path: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
    """Return status, body and the address that answered. Follows no redirect: the pass is for this server only."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc, timeout=SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
    try:
        connection.connect()
        server = str(connection.sock.getpeername()[0])
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(MOST_BYTES), server
    finally:
        connection.close()


def _is_inner(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return True
