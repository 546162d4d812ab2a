"""`GET /metrics`: what `pixora.metrics` holds, for the operator's Prometheus and nobody else."""

import contextlib
import ipaddress
import threading
import time
from collections.abc import Iterator

from flask import Flask, Response, current_app, request
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pixora import clock, metrics
from pixora.blueprint import Blueprint, fails
from pixora.errors import DatabaseUnavailable, NothingHere
from pixora.forwarding import client_ip, peer
from pixora.guards import public
from pixora.users.letters import Backlog, letters

PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"),
    )
)
"""Loopback, RFC 1918 and RFC 4193."""

FORWARDED = ("X-Forwarded-For", "X-Real-IP", "Forwarded")

OUTBOX_SECONDS = 10
"""For how long a look at the outbox is good. Several who scrape cost it no more than one."""

EXAMPLE = """\
# HELP pixora_hashing_queue Hashes that are asked for or being computed, over all workers.
# TYPE pixora_hashing_queue gauge
pixora_hashing_queue 3.0
"""

blueprint = Blueprint("metrics", __name__, description="For the operator's monitoring")


@blueprint.route("/metrics")
@fails(NothingHere)
@blueprint.response(200, {"type": "string"}, content_type="text/plain", example=EXAMPLE)
@public
def scrape() -> Response:
    """Get the metrics of the service, in Prometheus' text format.

    Answered only to loopback and private networks, and not to who comes through a proxy from elsewhere; there is
    nothing here for anyone else.
    """
    if not all(map(_is_private, _addresses())):
        raise NothingHere
    registry = CollectorRegistry()
    if values.ValueClass._multiprocess:  # noqa: SLF001  # so the library itself asks
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(metrics.REGISTRY)
    registry.register(current_app.extensions["outbox"])
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class Outbox(Collector):
    """The letters that wait, looked at when somebody asks. Absent, and not 0, when that cannot be known."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._backlog: Backlog | None = None
        self._good_until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield the age of the letter that is due for the longest time, and the numbers of letters."""
        now = clock.utcnow()
        if backlog := self._look():
            seconds = max(0.0, (now - backlog.due_since).total_seconds()) if backlog.due_since else 0.0
            yield GaugeMetricFamily(
                "pixora_outbox_oldest_seconds",
                "How long the letter that is due for the longest time has been due.",
                value=seconds,
            )
            number = GaugeMetricFamily(
                "pixora_outbox_letters",
                "Letters that are to be sent, 20,000 at most: not tried yet, or to be tried again after a failure.",
                labels=["state"],
            )
            number.add_metric(["new"], backlog.new)
            number.add_metric(["failed"], backlog.failed)
            yield number

    def _look(self) -> Backlog | None:
        # Whoever asks while another looks gets what was found before: the database may be slow, and threads are few.
        if time.monotonic() >= self._good_until and self._looking.acquire(blocking=False):
            try:
                self._backlog = None
                with contextlib.suppress(DatabaseUnavailable):
                    self._backlog = letters.backlog()
                self._good_until = time.monotonic() + OUTBOX_SECONDS
            finally:
                self._looking.release()
        return self._backlog


def init_app(app: Flask) -> None:
    """Give `app` its look at the outbox."""
    app.extensions["outbox"] = Outbox()


def _addresses() -> Iterator[str]:
    """Yield every address that the request has come by, as far as it is told.

    Not only the one that PROXY_COUNT points at: a proxy that was not counted stands on loopback itself, and a client
    who is counted as one can claim any address. Whoever scrapes comes by no proxy, or by such within.
    """
    yield peer()
    for name in FORWARDED:
        for line in request.headers.getlist(name):
            yield from line.split(",")


def _is_private(address: str) -> bool:
    ip = client_ip(address)
    return ip is not None and any(ipaddress.ip_address(ip) in network for network in PRIVATE)
