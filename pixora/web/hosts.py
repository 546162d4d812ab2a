"""The host names that the service answers to, by `TRUSTED_HOSTS`.

Werkzeug's own check is case-sensitive, accepts no IPv6 address and has no exception for probes.
"""

import re
from collections.abc import Sequence

from flask import request

from pixora.errors import UntrustedHost

PROBES = frozenset({"health.ready", "health.live", "metrics.get_metrics"})
"""Endpoints that machines call by IP address; their answers do not depend on the host name."""

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+?)\.?(?::[0-9]*)?")


def reject_untrusted(trusted: Sequence[str]) -> None:
    """Check the Host header of the current request; raise `UntrustedHost`."""
    if request.endpoint not in PROBES and not is_trusted(request.headers.get("Host", ""), trusted):
        raise UntrustedHost


def is_trusted(host: str, trusted: Sequence[str]) -> bool:
    """Tell whether a Host header names one of the hosts in `trusted`, in the form of `config.Settings`."""
    found = HOST.fullmatch(host.lower())
    name = found[1] if found else ""
    return any(
        name == entry.removeprefix(".") or (entry.startswith((".", "*.")) and name.endswith(entry.removeprefix("*")))
        for entry in trusted
    )


def base_url() -> str:
    """Return the scheme, host and port at which the client called the service, without a trailing slash.

    Werkzeug rejects hosts with an underscore, such as Docker Compose's names of services.
    """
    header = request.headers.get("Host", "")
    host = request.host or (header if HOST.fullmatch(header.lower()) else "localhost")
    return f"{request.scheme}://{host}"
