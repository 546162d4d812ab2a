"""Classification of MongoDB's errors: which are outages, and why."""

from typing import Any

from pymongo import MongoClient
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

UNAVAILABLE_CODES = {
    13: "unauthorized",  # Unauthorized
    18: "unauthorized",  # AuthenticationFailed
    8000: "unauthorized",  # AtlasError, on bad credentials
    14031: "full",  # OutOfDiskSpace
    # One member of a cluster cannot reach another. PyMongo has retried the read once.
    6: "unreachable",  # HostUnreachable
    7: "unreachable",  # HostNotFound
    133: "unreachable",  # FailedToSatisfyReadPreference
    134: "unreachable",  # ReadConcernMajorityNotAvailableYet
    9001: "unreachable",  # SocketException
    11601: "unreachable",  # Interrupted, by an operator or a shutdown
    24: "timeout",  # LockTimeout
    89: "timeout",  # NetworkTimeout
    202: "timeout",  # NetworkInterfaceExceededTimeLimit
    262: "timeout",  # ExceededTimeLimit
}
"""Error codes of the server that mean an outage and not a faulty request."""

DUPLICATE_KEY = 11000
"""The code of `DuplicateKeyError` in the errors of a bulk write."""

UNAVAILABLE_LABELS = ("RetryableWriteError", "RetryableError", "SystemOverloadedError")
"""Labels by which the server says that a later attempt may succeed."""


def reason(error: PyMongoError, client: MongoClient[dict[str, Any]]) -> str | None:
    """Return the reason of an outage in one word; None for a faulty request or a duplicate key.

    Args:
        error: The error of an operation. For a bulk write, one write that met an outage is enough.
        client: The client that ran the operation.

    """
    if isinstance(error, DuplicateKeyError):
        return None
    if isinstance(error, ServerSelectionTimeoutError):
        # If a server rejects our credentials, PyMongo raises that for the first caller only.
        servers = client.topology_description.server_descriptions().values()
        codes = [server.error.code for server in servers if isinstance(server.error, OperationFailure)]
        return _by_code(codes) or "unreachable"
    if found := _by_code(_codes(error)):
        return found
    if error.timeout:
        return "timeout"
    # ConfigurationError: the DNS lookup for mongodb+srv:// fails.
    is_unreachable = isinstance(error, ConnectionFailure | WriteConcernError | ConfigurationError)
    is_unwritten = isinstance(error, BulkWriteError) and error.details["writeConcernErrors"]
    return (
        "unreachable" if is_unreachable or is_unwritten or any(map(error.has_error_label, UNAVAILABLE_LABELS)) else None
    )


def _codes(error: PyMongoError) -> list[int | None]:
    if isinstance(error, BulkWriteError):
        return [failure["code"] for failure in error.details["writeErrors"]]
    return [error.code] if isinstance(error, OperationFailure) else []


def _by_code(codes: list[int | None]) -> str | None:
    return next((UNAVAILABLE_CODES[code] for code in codes if code in UNAVAILABLE_CODES), None)


def cause(error: PyMongoError) -> str:
    """Return the message of a PyMongo error without the topology and without parts of a document."""
    return str(error).split(", full error:")[0].split(", Topology Description:")[0]
