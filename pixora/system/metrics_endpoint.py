"""`GET /metrics`, for the operator's Prometheus only."""

import ipaddress
from collections.abc import Iterator

from flask import Response, request
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from pixora.auth.guards import public
from pixora.errors import NotFound
from pixora.observability import metrics
from pixora.services import services
from pixora.web.blueprint import OPERATORS, Blueprint, fails
from pixora.web.forwarding import client_ip, peer

PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"),
    )
)
"""Loopback, RFC 1918 and RFC 4193."""

FORWARDED = ("X-Forwarded-For", "X-Real-IP", "Forwarded")

EXAMPLE = """\
# HELP pixora_hashing_queue Hashes that are waiting or being computed, over all workers.
# TYPE pixora_hashing_queue gauge
pixora_hashing_queue 3.0
"""

blueprint = Blueprint("metrics", __name__, tag=OPERATORS)


@blueprint.route("/metrics")
@fails(NotFound)
@blueprint.response(200, {"type": "string"}, content_type="text/plain", example=EXAMPLE)
@public
def get_metrics() -> Response:
    """Get the metrics of the service in Prometheus' text format.

    Only loopback and private networks get an answer, also through a proxy. All others get 404.
    """
    if not all(map(_is_private, _addresses())):
        raise NotFound
    registry = CollectorRegistry()
    if values.ValueClass._multiprocess:  # noqa: SLF001  # as the library itself does
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(metrics.REGISTRY)
    registry.register(services.metrics)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _addresses() -> Iterator[str]:
    """Yield every address on the request's way, as far as the headers name them.

    The one that PROXY_COUNT points at is not enough: an uncounted proxy may be on loopback, and a client that is
    counted as a proxy can claim any address.
    """
    yield peer()
    for name in FORWARDED:
        for line in request.headers.getlist(name):
            yield from line.split(",")


def _is_private(address: str) -> bool:
    ip = client_ip(address)
    return ip is not None and any(ipaddress.ip_address(ip) in network for network in PRIVATE)
