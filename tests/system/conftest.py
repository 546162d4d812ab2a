"""The service as it is deployed: under gunicorn, behind nginx."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mongod import free_port
from playwright.sync_api import Browser

from tests import ROOT
from tests.conftest import NO_THROTTLES
from tests.system.browser import running as running_browser

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
# Started by root, nginx would change to a user who may not enter the tests' folders.
NGINX_OPTIONS = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
START_SECONDS = 120
STOP_SECONDS = 40
"""Longer than gunicorn's graceful_timeout."""


class Url(str):
    """Where a server answers, `http://127.0.0.1:<port>`; also knows its process and what it has printed."""

    __slots__ = ("log", "pid")

    pid: int
    log: Path


@pytest.fixture(scope="session")
def gunicorn(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[Url]]:
    """Start gunicorn as the README does, its settings those of the tests but for what is given by keyword.

    Each one has a database of its own on the mongod of the run, unless `MONGO_URI` is given. One that is to take the
    place of another is given that one's `port`; of one that is not to get healthy it is awaited that it answers.
    """

    @contextlib.contextmanager
    def start(
        port: int | None = None, *, application: str = "wsgi:app", is_healthy: bool = True, **environment: str
    ) -> Iterator[Url]:
        port = port or free_port()
        url = Url(f"http://127.0.0.1:{port}")
        url.log = tmp_path_factory.mktemp("gunicorn") / "output"
        settings = {
            "PATH": os.environ["PATH"],
            "PIXORA_ENV": "testing",
            "MONGO_URI": mongo_uri.replace("?", f"_{port}?"),
            "SECRET_KEY": secrets.token_urlsafe(48),
            "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "BCRYPT_ROUNDS": "4",
            "HASH_QUEUE_SECONDS": "20",  # a busy machine is no reason to be sent away
            "WEB_CONCURRENCY": "1",
            "GUNICORN_THREADS": "8",
            "TMPDIR": str(url.log.parent),  # for core locks of its own: the hashes of other tests must not delay it
            **NO_THROTTLES,
        }
        with url.log.open("wb") as output:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("gunicorn"), "--bind", f"127.0.0.1:{port}", application],
                cwd=ROOT,
                env=settings | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        url.pid = process.pid
        try:
            wait_until_healthy(process, url, "/health" if is_healthy else "/health/live")
            yield url
        finally:
            stop(process)

    return start


@pytest.fixture(scope="module")  # and not longer: it keeps an event loop running in this thread
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


def wait_until_healthy(process: "subprocess.Popen[bytes]", url: Url, path: str = "/health") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url + path, timeout=5):
            return
        time.sleep(0.05)
    what = "gunicorn does not get healthy" if process.poll() is None else f"gunicorn ended ({process.returncode})"
    pytest.fail(f"{what}. It printed:\n{url.log.read_text(errors='replace')}")


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the workers as well: the group is its own
        process.wait()


@contextlib.contextmanager
def running_nginx(folder, *upstreams, change=lambda text, address: text):
    """Run nginx as shipped, with ports and folders changed, in front of the ports `upstreams`; yield its port.

    What `max_fails` says, the comment in the file says too; to a single one it makes no difference. `change` may change
    the text further; it is given the address as well that nginx listens on.
    """
    port = free_port()
    text = (ROOT / "deploy/nginx.conf").read_text()
    for shipped, here in {
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:8000;": " ".join(f"server 127.0.0.1:{upstream} max_fails=0;" for upstream in upstreams),
        "/tmp/nginx": f"{folder}/nginx",
        "/dev/stdout": f"{folder}/access.log",
    }.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    (folder / "nginx.conf").write_text(change(text, f"127.0.0.1:{port}"))
    with (folder / "error.log").open("wb") as log:
        command = [NGINX, "-c", str(folder / "nginx.conf"), "-g", NGINX_OPTIONS]
        process = subprocess.Popen(command, stderr=log)
    try:
        for _ in range(1000):
            assert process.poll() is None, (folder / "error.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
