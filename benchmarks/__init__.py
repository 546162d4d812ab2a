"""Benchmarks that compare Pixora with the services it replaces: `benchmarks/run`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "script"))  # for the development mongod
