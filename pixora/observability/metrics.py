"""The metrics, for Prometheus; `pixora.system.metrics_endpoint` serves them.

Under gunicorn the values are in files that all workers share, see gunicorn.conf.py; in tests and commands they are in
the memory of the process. Every label has few values, whatever clients send: routes instead of paths, the methods of
RFC 9110, and our own words.
"""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
"""RFC 9110, section 9, and RFC 5789. All other methods are counted as `OTHER`."""

OTHER = "other"

UNKNOWN_ROUTE = "unknown"
"""No route matches the URL and the method."""

NO_ROUTE = "none"
"""The request was rejected by the HTTP server and did not reach the application."""

# Reading a profile takes one or two milliseconds. A login waits up to HASH_QUEUE_SECONDS, then hashes for a quarter of
# a second. Everything else ends within DATABASE_TIMEOUT_MS and a second.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# An indexed read over loopback takes half a millisecond, a majority write some milliseconds; the limit is 3 seconds.
_DATABASE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# Fine around HASH_QUEUE_SECONDS, from which on requests are rejected.
_WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20)
# Cost 10 takes 65 ms and cost 12 a quarter of a second; while other requests use the cores, several times that.
_RUN_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2.5, 5, 10)

_requests = Histogram(
    "pixora_http_request_duration_seconds",
    "Seconds from the start of a request until its answer is ready.",
    ["route", "method", "status"],
    buckets=_REQUEST_BUCKETS,
    registry=REGISTRY,
)
_database_operations = Histogram(
    "pixora_database_operation_seconds",
    "Seconds that a request waits for an operation on MongoDB, including failed ones.",
    ["operation"],
    buckets=_DATABASE_BUCKETS,
    registry=REGISTRY,
)
_database_errors = Counter(
    "pixora_database_errors", "Operations that failed because MongoDB was unavailable.", ["reason"], registry=REGISTRY
)
_throttled = Counter(
    "pixora_throttled",
    "Requests and e-mails that were refused, by the limit that was reached.",
    ["limit"],
    registry=REGISTRY,
)
_events = Counter("pixora_events", "Security events, such as logins by outcome.", ["event"], registry=REGISTRY)

hashing_wait = Histogram(
    "pixora_hashing_wait_seconds",
    "Seconds that a hash waits in the hashing queue.",
    buckets=_WAIT_BUCKETS,
    registry=REGISTRY,
)
hashing_run = Histogram(
    "pixora_hashing_run_seconds", "Seconds to compute a hash.", buckets=_RUN_BUCKETS, registry=REGISTRY
)
hashing_queue = Gauge(
    "pixora_hashing_queue",
    "Hashes that are waiting or being computed, over all workers.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
hashing_shed = Counter(
    "pixora_hashing_shed",
    "Requests that were rejected because the hashing queue could not serve them in time.",
    registry=REGISTRY,
)
log_lines_lost = Counter(
    "pixora_log_lines_lost", "Log lines that were dropped because standard output was blocked.", registry=REGISTRY
)


# Cached, because looking up a child by its labels costs more than counting.
@cache
def request_duration(route: str, method: str, status: int) -> Histogram:
    """Return the histogram of requests of a route; `method` is one of `METHODS` or `OTHER`."""
    return _requests.labels(route, method, status)


@cache
def database_operation(name: str) -> Histogram:
    """Return the histogram of an operation of a store."""
    return _database_operations.labels(name)


@cache
def database_errors(reason: str) -> Counter:
    """Return the counter of outages for a reason, as in `DatabaseUnavailable`."""
    return _database_errors.labels(reason)


@cache
def throttled(limit: str) -> Counter:
    """Return the counter of refusals by a limit, named as its setting."""
    return _throttled.labels(limit)


@cache
def events(event: str) -> Counter:
    """Return the counter of an event, one of `accounts.audit.EVENTS`."""
    return _events.labels(event)
