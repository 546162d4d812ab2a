"""Pixora measured side by side with what it replaces: `benchmarks/run`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "script"))  # for the development mongod
