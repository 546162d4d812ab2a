"""Figures for the pages, from what `benchmarks/run` has measured, so that no page states a number of its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median


def read(results: Path) -> dict[str, str]:
    """Return the figures by the names that the pages use, written out."""
    measured = json.loads(results.read_text())
    part = {name: entry["result"] for name, entry in measured["parts"].items()}
    me, login, crowd, footprint = part["me"], part["login"], part["crowd"], part["footprint"]["Pixora"]
    return {
        "machine": measured["machine"],
        "me_date": measured["parts"]["me"]["date"],
        "me_rate": _whole(me["Pixora"]["rate"]),
        "me_cpu": _whole(me["Pixora"]["cpu"], 1e6),
        "me_unseen_rate": _whole(me["Pixora, tokens it has not seen"]["rate"]),
        "me_unseen_cpu": _whole(me["Pixora, tokens it has not seen"]["cpu"], 1e6),
        "login_rate": f"{median(login['Pixora']['rate']):.1f}",
        "login_share": f"{median(login['Pixora']['rate']) / median(login['bcrypt alone']['rate']):.0%}",
        "crowd_reads": f"{median(crowd['beside']) / median(crowd['alone']):.0%}",
        "crowd_longest": f"{median(crowd['longest']):.1f}",
        "scale_me_few": f"{part['scale']['1000']['me'] * 1000:.2f}",
        "scale_me_many": f"{part['scale']['1000000']['me'] * 1000:.2f}",
        "worker_memory": _whole(footprint["rss"], 1e-6),
        "worker_start": f"{median(footprint['start']):.1f}",
    }


def _whole(values: Sequence[float], factor: float = 1) -> str:
    return f"{median(values) * factor:,.0f}"
