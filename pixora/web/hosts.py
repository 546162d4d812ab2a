"""The hosts that the service answers to, by `TRUSTED_HOSTS`.

Werkzeug compares them by case, takes no IPv6 address, and knows no exception.
"""

import re

from flask import Flask, current_app, request

from pixora.errors import UntrustedHost

PROBES = frozenset({"health.ready", "health.live", "metrics.scrape"})
"""Endpoints that machines ask by address, whatever the name of the service; nothing in the answers depends on it."""

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+?)\.?(?::[0-9]*)?")


def init_app(app: Flask) -> None:
    """Have `app` refuse other hosts than `TRUSTED_HOSTS`, where there is such a list."""
    app.config |= {"ANSWERED_HOSTS": app.config["TRUSTED_HOSTS"], "TRUSTED_HOSTS": None}  # the latter is Flask's own
    if app.config["ANSWERED_HOSTS"]:
        app.before_request(_refuse_others)


def is_trusted(host: str, trusted: list[str]) -> bool:
    """Tell whether a Host header names one of the hosts in `trusted`, which are as `config_rules.host` has them."""
    found = HOST.fullmatch(host.lower())
    name = found[1] if found else ""
    return any(
        name == entry.removeprefix(".") or (entry.startswith((".", "*.")) and name.endswith(entry.removeprefix("*")))
        for entry in trusted
    )


def base_url() -> str:
    """Return where the client of this request has found the service: scheme, host and port, without a slash at the end.

    Werkzeug knows no host with an underscore, such as Docker Compose gives to services.
    """
    header = request.headers.get("Host", "")
    host = request.host or (header if HOST.fullmatch(header.lower()) else "localhost")
    return f"{request.scheme}://{host}"


def _refuse_others() -> None:
    if request.endpoint not in PROBES and not is_trusted(
        request.headers.get("Host", ""), current_app.config["ANSWERED_HOSTS"]
    ):
        raise UntrustedHost
