"""Keep the results of each part, and write `results.md` and the plot."""

import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.servers import PEERS, ROOT

RESULTS = ROOT / "benchmarks/results.json"
PACKAGES = ("fastapi", "motor", "fastapi-users", "beanie", "uvicorn", "uvloop", "pyjwt", "bcrypt", "pymongo")
OURS = ("flask", "gunicorn", "pymongo", "flask-jwt-extended", "bcrypt")
HEAD = """\
# Measurements

`benchmarks/run` writes this page; do not edit it. Everything runs on one machine, with one mongod: {machine}. The
figures depend on the machine, and vary a little between runs: compare the ratios, each of which comes from one run.
Figures are medians of the rounds, with their minimum and maximum in brackets.

Pixora: {ours}. Peers: {peers}; under uvicorn with uvloop and httptools, without an access log.

![The results as a picture](results.png)
"""


def machine() -> str:
    """Return the properties of the machine that the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of an {model}, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}"


def keep(here: str, name: str, date: str, result: dict[str, Any]) -> None:
    """Keep the result of a part, and drop all results of other machines."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if kept.get("machine") != here:
        kept = {"machine": here, "parts": {}}
    kept["parts"][name] = {"date": date, "result": result}
    RESULTS.write_text(json.dumps(kept) + "\n")


def write(parts: dict[str, Any]) -> None:
    """Write the report and the plot of all parts that have a result."""
    kept = json.loads(RESULTS.read_text())
    sections = [
        HEAD.format(
            machine=kept["machine"],
            ours=_versions(ROOT / "requirements.txt", OURS),
            peers=_versions(ROOT / "benchmarks/requirements.txt", PACKAGES),
        )
    ]
    for name, part in parts.items():
        if name in kept["parts"]:
            found = kept["parts"][name]
            sections.append(
                f"## {name}\n\n{part.__doc__}\n{part.report(found['result'])}\n\nMeasured {found['date']}.\n"
            )
    (ROOT / "benchmarks/results.md").write_text("\n".join(sections))
    subprocess.run([PEERS, "-m", "benchmarks.plot"], cwd=ROOT, check=True)


def _versions(lock: Path, names: tuple[str, ...]) -> str:
    pins = dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", lock.read_text(), re.MULTILINE))
    return ", ".join(f"{name} {pins[name]}" for name in names)
