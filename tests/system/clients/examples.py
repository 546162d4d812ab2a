"""Runs the examples, as their first lines say."""

import contextlib
import os
import subprocess
import sys
import time

from mongod import free_port

from tests import ROOT
from tests.system.client import Client
from tests.system.conftest import stop
from tests.timeouts import LONG

EXAMPLES = ROOT / "examples"


@contextlib.contextmanager
def running(example, folder, environment, port=None):
    """Run an example in a folder; yield its URL."""
    port = port or free_port()
    script = folder / example.name
    script.write_text(example.read_text())  # Node looks for packages beside it
    command = ["node", script] if script.suffix == ".mjs" else [sys.executable, "-m", "flask", "--app", script, "run"]
    variables = {"PATH": os.environ["PATH"], "PORT": str(port), "FLASK_RUN_PORT": str(port)} | environment
    process = subprocess.Popen(command, cwd=folder, env=variables)
    try:
        deadline = time.monotonic() + LONG
        client = Client(f"http://127.0.0.1:{port}")
        while process.poll() is None:
            with contextlib.suppress(OSError):
                client.get("/hello")
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield client.url
    finally:
        stop(process)
