"""What MongoDB's failures mean: which of them are outages, that no change of ours to the request would cure."""

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
    # One member of a cluster does not get through to another. PyMongo has tried a read again and gives up.
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
"""Server errors that no change of ours to the request would cure."""

DUPLICATE_KEY = 11000
"""The server's code for what `DuplicateKeyError` is, in the errors of many writes at once."""

UNAVAILABLE_LABELS = ("RetryableWriteError", "RetryableError", "SystemOverloadedError")
"""With these the server says itself that another time may do."""


def reason(error: PyMongoError, client: MongoClient[dict[str, Any]]) -> str | None:
    """Return one word for what keeps the database from us; None for an error of ours, or a duplicate key.

    Args:
        error: What an operation has failed with. Of many writes at once, one that met an outage is enough.
        client: The one that the operation was asked of.

    """
    if isinstance(error, DuplicateKeyError):
        return None
    if isinstance(error, ServerSelectionTimeoutError):
        # Of a server that has refused our credentials, PyMongo only tells the first caller.
        servers = client.topology_description.server_descriptions().values()
        codes = [server.error.code for server in servers if isinstance(server.error, OperationFailure)]
        return _by_code(codes) or "unreachable"
    if found := _by_code(_codes(error)):
        return found
    if error.timeout:
        return "timeout"
    # ConfigurationError: the DNS does not tell what mongodb+srv:// stands for.
    is_away = isinstance(error, ConnectionFailure | WriteConcernError | ConfigurationError)
    is_unwritten = isinstance(error, BulkWriteError) and error.details["writeConcernErrors"]
    return "unreachable" if is_away or is_unwritten or any(map(error.has_error_label, UNAVAILABLE_LABELS)) else None


def _codes(error: PyMongoError) -> list[int | None]:
    if isinstance(error, BulkWriteError):
        return [failure["code"] for failure in error.details["writeErrors"]]
    return [error.code] if isinstance(error, OperationFailure) else []


def _by_code(codes: list[int | None]) -> str | None:
    return next((UNAVAILABLE_CODES[code] for code in codes if code in UNAVAILABLE_CODES), None)


def cause(error: PyMongoError) -> str:
    """Return what PyMongo says, without the topology it appends and without anything of a document."""
    return str(error).split(", full error:")[0].split(", Topology Description:")[0]
