"""What is counted and timed, for Prometheus; `pixora.system.metrics_endpoint` shows it.

Under gunicorn the values are in files that all workers share, see gunicorn.conf.py; elsewhere, in tests and commands,
in this process alone. Every label has few values, whatever clients send: the routes of the service and not paths, the
methods of RFC 9110, and words of ours.
"""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
"""RFC 9110, section 9, and RFC 5789. Whatever else a client makes up is one: `OTHER`."""

OTHER = "other"

UNKNOWN_ROUTE = "unknown"
"""There is nothing at this address, or nothing for this method."""

NO_ROUTE = "none"
"""Answered by gunicorn's worker, outside of the application: it could not be read as HTTP."""

# A profile is read in one or two milliseconds. A login takes a hash, of a quarter of a second, and up to
# HASH_QUEUE_SECONDS before it; DATABASE_TIMEOUT_MS and a second end all else.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# An indexed read over loopback takes half a millisecond, a write that a majority has some; 3 seconds is the deadline.
_DATABASE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# Fine around HASH_QUEUE_SECONDS, where requests begin to be refused.
_WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20)
# Cost 10 takes 65 ms and 12 a quarter of a second; where reads have the cores, several times that.
_RUN_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2.5, 5, 10)

_requests = Histogram(
    "pixora_http_request_duration_seconds",
    "From the first look at a request until its answer is ready.",
    ["route", "method", "status"],
    buckets=_REQUEST_BUCKETS,
    registry=REGISTRY,
)
_database_operations = Histogram(
    "pixora_database_operation_seconds",
    "Time that a request waits for an operation on MongoDB, failed ones included.",
    ["operation"],
    buckets=_DATABASE_BUCKETS,
    registry=REGISTRY,
)
_database_errors = Counter(
    "pixora_database_errors", "Operations that MongoDB was not available for.", ["reason"], registry=REGISTRY
)
_throttled = Counter(
    "pixora_throttled", "What was refused, by the limit that was reached.", ["limit"], registry=REGISTRY
)
_events = Counter("pixora_events", "Security events, such as logins by outcome.", ["event"], registry=REGISTRY)

hashing_wait = Histogram(
    "pixora_hashing_wait_seconds",
    "From a request for a hash until it is begun.",
    buckets=_WAIT_BUCKETS,
    registry=REGISTRY,
)
hashing_run = Histogram(
    "pixora_hashing_run_seconds", "Time to compute a hash.", buckets=_RUN_BUCKETS, registry=REGISTRY
)
hashing_queue = Gauge(
    "pixora_hashing_queue",
    "Hashes that are asked for or being computed, over all workers.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
hashing_shed = Counter(
    "pixora_hashing_shed", "Requests that were sent away because no hash could be had in time.", registry=REGISTRY
)
log_lines_lost = Counter("pixora_log_lines_lost", "Log lines that standard output did not take.", registry=REGISTRY)


# Finding a child by its labels costs more than what is then done with it.
@cache
def request_duration(route: str, method: str, status: int) -> Histogram:
    """Return the durations of the requests for a route; `method` is one of `METHODS` or `OTHER`."""
    return _requests.labels(route, method, status)


@cache
def database_operation(name: str) -> Histogram:
    """Return the durations of an operation of a store."""
    return _database_operations.labels(name)


@cache
def database_errors(reason: str) -> Counter:
    """Return the failures for a reason, one of `DatabaseUnavailable`'s words."""
    return _database_errors.labels(reason)


@cache
def throttled(limit: str) -> Counter:
    """Return the refusals by a limit, which has the name of its setting."""
    return _throttled.labels(limit)


@cache
def events(event: str) -> Counter:
    """Return the events of one name, of the closed set of these."""
    return _events.labels(event)
