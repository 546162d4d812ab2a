"""Compute the figures of the pages from the results of `benchmarks/run`, so that no page has figures of its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

DAY = 24 * 3600
# The assumptions of the page about scaling.
USERS = 100_000_000
ACTIVE_SHARE = 0.1
READS_A_DAY = 50
REFRESHES_A_DAY = 8
LOGINS_A_MONTH = 1
PEAK = 3
ADDRESS_BYTES = 90
"""An e-mail address of 28 characters and a user id, as BSON."""


def read(results: Path) -> dict[str, str]:
    """Return the formatted figures, by the names that the pages use."""
    measured = json.loads(results.read_text())
    part = {name: entry["result"] for name, entry in measured["parts"].items()}
    cores = int(measured["machine"].split()[0])
    me, login, crowd = part["me"], part["login"], part["crowd"]
    storm, footprint = part["storm"]["Pixora"], part["footprint"]["Pixora"]
    return {
        **_sums(part["database"], median(login["Pixora"]["rate"]) / cores),
        "machine": measured["machine"],
        "me_date": measured["parts"]["me"]["date"],
        "me_rate": _whole(me["Pixora"]["rate"]),
        "me_cpu": _whole(me["Pixora"]["cpu"], 1e6),
        "me_unseen_rate": _whole(me["Pixora, tokens it has not seen"]["rate"]),
        "me_unseen_cpu": _whole(me["Pixora, tokens it has not seen"]["cpu"], 1e6),
        "login_core_rate": f"{median(login['Pixora']['rate']) / cores:.1f}",
        "login_rate": f"{median(login['Pixora']['rate']):.1f}",
        "login_share": f"{median(login['Pixora']['rate']) / median(login['bcrypt alone']['rate']):.0%}",
        "storm_reads": f"{median(storm['beside']) / median(storm['alone']):.0%}",
        "crowd_reads": f"{median(crowd['beside']) / median(crowd['alone']):.0%}",
        "crowd_longest": f"{median(crowd['longest']):.1f}",
        "scale_me_few": f"{part['scale']['1000']['me'] * 1000:.2f}",
        "scale_me_many": f"{part['scale']['1000000']['me'] * 1000:.2f}",
        "worker_memory": _whole(footprint["rss"], 1e-6),
        "worker_start": f"{median(footprint['start']):.1f}",
    }


def _sums(database: dict[str, Any], logins_a_core: float) -> dict[str, str]:
    """Return the figures of the page about scaling: the resources for `USERS`, computed from those for one user."""
    users, audit, cpu = database["users"], database["audit"], database["cpu"]
    active = USERS * ACTIVE_SHARE
    peak = {
        "GET /me": active * READS_A_DAY / DAY * PEAK,
        "refresh": active * REFRESHES_A_DAY / DAY * PEAK,
        "login": USERS * LOGINS_A_MONTH / (30 * DAY) * PEAK,
    }
    cores = {name: rate * cpu[name][0] for name, rate in peak.items()}
    indexes = sum(users["indexes"].values())
    event = audit["disk"] + sum(audit["indexes"].values())
    events = USERS * LOGINS_A_MONTH * 12
    return {
        "user_bytes": f"{users['document']:.0f}",
        "user_disk": f"{users['disk']:.0f}",
        "user_email_index": f"{users['indexes']['email_1']:.0f}",
        "user_id_index": f"{users['indexes']['_id_']:.0f}",
        "event_bytes": f"{event:.0f}",
        "read_database_cpu": f"{cpu['GET /me'][0] * 1e6:,.0f}",
        "read_service_cpu": f"{cpu['GET /me'][1] * 1e6:,.0f}",
        "refresh_database_cpu": f"{cpu['refresh'][0] * 1e6:,.0f}",
        "login_database_cpu": f"{cpu['login'][0] * 1e6:,.0f}",
        "all_users": f"{USERS / 1e6:,.0f} million",
        "all_memory": f"{USERS * users['document'] / 1e9:,.0f}",
        "all_disk": f"{USERS * users['disk'] / 1e9:,.0f}",
        "all_indexes": f"{USERS * indexes / 1e9:,.0f}",
        "all_events": f"{events * event / 1e9:,.0f}",
        "active_users": f"{active / 1e6:,.0f} million",
        "active_memory": f"{(active * users['document'] + USERS * indexes) / 1e9:,.0f}",
        "reads_a_day": f"{READS_A_DAY}",
        "refreshes_a_day": f"{REFRESHES_A_DAY}",
        "peak_factor": f"{PEAK}",
        "peak_reads": f"{peak['GET /me']:,.0f}",
        "peak_refreshes": f"{peak['refresh']:,.0f}",
        "peak_logins": f"{peak['login']:,.0f}",
        "peak_read_cores": f"{cores['GET /me']:.0f}",
        "peak_refresh_cores": f"{cores['refresh']:.0f}",
        "peak_login_cores": f"{cores['login']:.1f}",
        "peak_cores": f"{sum(cores.values()):.0f}",
        "service_read_cores": f"{peak['GET /me'] * cpu['GET /me'][1]:.0f}",
        "service_refresh_cores": f"{peak['refresh'] * cpu['refresh'][1]:.0f}",
        "service_login_cores": f"{peak['login'] / logins_a_core:.0f}",
        "address_memory": f"{USERS * ADDRESS_BYTES / 1e9:,.0f}",
        "address_index": f"{USERS * users['indexes']['email_1'] / 1e9:,.0f}",
    }


def _whole(values: Sequence[float], factor: float = 1) -> str:
    return f"{median(values) * factor:,.0f}"
