"""What one worker costs: its start, its memory, and the CPU of a GET /api/users/me.

    .venv/bin/python benchmarks/footprint.py

Everything runs on this machine and is bounded: 10,000 requests over 8 kept-alive connections. CPU is what the kernel
charged the worker, so a busy machine changes it little; a WSGI application that only says hello, under the same
gunicorn and the same load, is measured in the same run to compare with.
"""

import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

import config  # noqa: E402
from pixora.embedded import Mongod, free_port  # noqa: E402
from tests.factories import PASSWORD, signup_body  # noqa: E402

REQUESTS = 10_000
CONNECTIONS = 8
HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hello.py").write_text(HELLO)
        with Mongod(Path(folder) / "data", binary=config.mongod()) as mongod:
            environment = dict(os.environ) | {
                "PIXORA_ENV": "testing",
                "MONGO_URI": mongod.uri("footprint"),
                "SECRET_KEY": secrets.token_urlsafe(48),
                "JWT_SECRET_KEY": secrets.token_urlsafe(48),
                "WEB_CONCURRENCY": "1",
                "MALLOC_ARENA_MAX": "2",
                "PYTHONPATH": folder,
            }
            # Interleaved, and the median of three: a shared machine has its moods.
            runs: dict[str, list[tuple[float, float, float, float]]] = {}
            for _ in range(3):
                runs.setdefault("hello under gunicorn", []).append(measure("hello:app", environment))
                runs.setdefault("GET /me, HS256", []).append(measure("wsgi:app", environment))
                runs.setdefault("GET /me, ES256", []).append(measure("wsgi:app", environment | key_pair(folder)))
    print(f"{'':24}{'start':>9}{'RSS idle':>11}{'RSS after':>11}{'CPU a request':>16}")
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in runs.items()}
    for name, (start, before, after, cpu) in medians.items():
        print(f"{name:24}{start:7.2f} s{before:8.1f} MB{after:8.1f} MB{cpu * 1e6:13.0f} µs")
    hello, secret, pair = (row[3] for row in medians.values())
    print(f"GET /me costs {secret / hello:.2f} times what gunicorn takes to say hello;")
    print(f"with ES256 it costs {pair / secret:.2f} times what it costs with HS256.")


def key_pair(folder: str) -> dict[str, str]:
    """Return the settings for a new ES256 key in the place of the secret."""
    directory = Path(folder) / "keys"
    directory.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(*pem))
    return {"JWT_SECRET_KEY": "", "JWT_KEY_DIR": str(directory)}


def measure(application: str, environment: dict[str, str]) -> tuple[float, float, float, float]:
    """Return start in seconds, resident memory before and after in MB, CPU seconds a request."""
    port = free_port()
    command = [
        Path(sys.executable).with_name("gunicorn"),
        "--bind",
        f"127.0.0.1:{port}",
        "--log-level",
        "warning",
        application,
    ]
    started = time.monotonic()
    gunicorn = subprocess.Popen(command, cwd=ROOT, env=environment)
    os.sched_setaffinity(gunicorn.pid, {0})  # its worker inherits it: one core
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5).close()
                break
            except OSError:
                time.sleep(0.01)
        start = time.monotonic() - started
        token = log_in(port) if application == "wsgi:app" else ""
        worker = int(Path(f"/proc/{gunicorn.pid}/task/{gunicorn.pid}/children").read_text().split()[0])
        load(port, token, REQUESTS // 20)  # warm
        before_memory, before_cpu = memory(worker), cpu(worker)
        load(port, token, REQUESTS)
        return start, before_memory, memory(worker), (cpu(worker) - before_cpu) / REQUESTS
    finally:
        gunicorn.terminate()
        gunicorn.wait()


def log_in(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/api/auth/signup", json.dumps(signup_body()), {"Content-Type": "application/json"})
    assert connection.getresponse().read()
    form = urllib.parse.urlencode({"username": "ada@example.com", "password": PASSWORD})
    connection.request("POST", "/api/auth/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
    return str(json.loads(connection.getresponse().read())["access_token"])


def load(port: int, token: str, requests: int) -> None:
    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(requests // CONNECTIONS):
            connection.request("GET", "/api/users/me", headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            response.read()
            assert response.status == 200

    threads = [threading.Thread(target=client) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def memory(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
