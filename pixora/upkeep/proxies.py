"""The doctor's check of the proxies: the service must see the IP of the caller and ignore a forged one.

The doctor calls the service with a made-up X-Forwarded-For. The client echo (`pixora.system.client_echo`) answers what
the service received, which shows what the proxies did with the header.
"""

import ipaddress
import json
import secrets
from collections.abc import Iterator
from typing import NamedTuple

from marshmallow import ValidationError

from pixora.system.client_echo import ClientEchoSchema, make_pass
from pixora.upkeep.fetching import Unreachable, fetch
from pixora.upkeep.findings import Finding, fault, ok, unknown, warning
from pixora.web.forwarding import client_ip


class Seen(NamedTuple):
    """What the service saw of the doctor's request."""

    client: str
    peer: str
    forwarded: list[str]
    proxy_count: int


REFUSALS = {
    "not_found": fault(
        "The service does not recognise the doctor: it has another SECRET_KEY, its clock is minutes off, or it is an "
        "older Pixora.",
        "Run the doctor with the settings of the service, and check --url or PUBLIC_URL.",
    ),
    "untrusted_host": fault(
        "The service rejects every request for this host name (400 untrusted_host): TRUSTED_HOSTS does not list it.",
        "Add it to TRUSTED_HOSTS and restart the service, or pass a listed one with --url. A proxy must forward the "
        "Host header.",
    ),
}
"""Why the client echo is refused, by `code`."""


def client(url: str | None, secret_key: str, public_url: str | None = None) -> Iterator[Finding]:
    """Check what the service at `url` sees of its clients and, without a `public_url`, which URL it publishes."""
    if not url:
        yield unknown("What the service sees of its clients was not checked.", "Pass --url, or set PUBLIC_URL.")
        return
    made_up = f"192.0.2.{secrets.randbelow(254) + 1}"  # RFC 5737: reserved for documentation
    headers = {"X-Forwarded-For": made_up, "Authorization": make_pass(secret_key), "Accept": "application/json"}
    try:
        echo = fetch(url, "/health/client", headers)
        metadata = fetch(url, "/.well-known/oauth-authorization-server")
    except Unreachable as error:
        yield unknown(f"The service cannot be reached ({error}).", "Check that it runs, and --url or PUBLIC_URL.")
        return
    yield _read(echo.status, echo.body, made_up, echo.server)
    if not public_url:
        yield from _judge_metadata(metadata.body, url)


def _judge_metadata(body: bytes, url: str) -> Iterator[Finding]:
    try:
        uri = str(json.loads(body)["jwks_uri"])
    except (ValueError, TypeError, KeyError):
        return  # not Pixora, which the other finding reports
    if not uri.startswith(url.rstrip("/") + "/"):
        yield warning(
            f"The metadata sends other services to {uri}, which is not below the URL that clients use.",
            "Set PUBLIC_URL, or make the proxy forward the Host header with its port, and X-Forwarded-Proto.",
        )


def _read(status: int, body: bytes, made_up: str, server: str) -> Finding:
    try:
        answer = json.loads(body)
        code = answer.get("code") if isinstance(answer, dict) else None
        return REFUSALS.get(str(code)) or judge(Seen(**ClientEchoSchema().load(answer)), made_up, server)
    except (ValueError, ValidationError):
        return unknown(
            f"The server answers with status {status}, and not as Pixora does.", "Check --url or PUBLIC_URL."
        )


def judge(seen: Seen, made_up: str, server: str) -> Finding:
    """Compare what the service saw with the made-up IP that was sent; `server` is the IP that answered."""
    count = seen.proxy_count
    if not seen.forwarded:
        return fault(
            "A proxy removes X-Forwarded-For without setting it: the service cannot tell its clients apart and takes "
            f"all of them for {seen.client}.",
            "Make the proxy set it, as deploy/nginx.conf does, and count the proxy in PROXY_COUNT.",
        )
    # Proxies append to the made-up IP or replace it.
    ours = seen.forwarded.index(made_up) + 1 if made_up in seen.forwarded else 0
    proxies = len(seen.forwarded) - ours
    number = f"{proxies} {'proxy' if proxies == 1 else 'proxies'}"
    restart = f"Set PROXY_COUNT={proxies} and restart the service."
    if seen.client == made_up:
        return fault(
            f"PROXY_COUNT is {count}, but the request passed only {number}: any client can forge its IP and evade the "
            "throttles.",
            restart,
        )
    if count != proxies:
        return fault(
            f"PROXY_COUNT is {count}, but the request passed {number}: the IP of the client is hidden, and all clients "
            f"behind them share the throttles of {seen.client}.",
            restart,
        )
    if count and client_ip(seen.forwarded[-count]) is None:
        return fault(
            f"A proxy adds {seen.forwarded[-count][:40]!r} to X-Forwarded-For, which is not an IP address: all clients "
            f"behind it count as {seen.client} and share its throttles.",
            "Make the proxy add the IP of its client, as deploy/nginx.conf does.",
        )
    if _is_private(seen.client) and not _is_private(server):
        return warning(
            f"The service sees the doctor as {seen.client}, an IP of a private network.",
            "If this machine is not in that network, a proxy before the last one hides its client.",
        )
    return ok(f"The service sees the doctor as {seen.client} and ignores a forged IP.")


def _is_private(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return True
