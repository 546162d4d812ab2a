"""Runs gunicorn on an embedded mongod: the second half of script/server."""

import argparse
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import config  # noqa: E402  # after the path to it
from pixora.embedded import Mongod, MongodFailed  # noqa: E402

BANNER = """
  Pixora is up: {url}
  Try it in the browser: {url}/docs

  Sign up from another terminal:

    curl -i {url}/api/auth/signup -H 'Content-Type: application/json' -d '{{
      "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com",
      "password": "difference-engine-no-2", "contact": "+442079460958", "birthday": "1990-12-10"}}'

  Letters are kept and not sent. Read them from another terminal:

    {flask} mail show

  Ctrl-C stops it. {kept}
"""


def main() -> int:
    """Start both, wait, stop both; return the exit status."""
    options = argparse.ArgumentParser(prog="script/server", description=__doc__)
    options.add_argument("--port", type=int, default=8000)
    options.add_argument("--instance", type=Path, default=ROOT / "instance", help="where data and secrets are kept")
    arguments = options.parse_args()
    for stopping in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stopping, _stop)
    if _is_taken(arguments.port):
        return _fail(f"Port {arguments.port} is taken. Stop what listens there, or choose another with --port.")
    instance: Path = arguments.instance
    instance.mkdir(parents=True, exist_ok=True)
    # What the environment says comes first, a database of yours in MONGO_URI included.
    url = f"http://127.0.0.1:{arguments.port}"
    defaults = {"PIXORA_ENV": "development", "MALLOC_ARENA_MAX": "2", "PUBLIC_URL": url}
    if "PUBLIC_URL" not in os.environ:
        defaults["JWT_ISSUER"] = "pixora"  # tokens outlive a change of port
    environment = defaults | _secrets(instance) | dict(os.environ)
    kept = "The database is the one in MONGO_URI."
    with ExitStack() as stack:
        if "MONGO_URI" not in environment:
            try:
                mongod = stack.enter_context(Mongod(instance / "mongodb", binary=config.mongod()))
            except MongodFailed as error:
                return _fail(str(error))
            environment["MONGO_URI"] = mongod.uri("pixora")
            kept = f"Users stay in {instance.relative_to(ROOT) if instance.is_relative_to(ROOT) else instance}/."
        flask = "script/flask" if instance == ROOT / "instance" else f"script/flask --instance {instance}"
        stack.enter_context(_left_for_commands(instance, environment))
        return _serve(arguments.port, environment, BANNER.format(url=url, kept=kept, flask=flask))


def _serve(port: int, environment: dict[str, str], banner: str) -> int:
    # Not -m gunicorn: it would start anew, on SIGUSR2, with gunicorn's http package in the place of Python's.
    command = [str(Path(sys.executable).with_name("gunicorn")), "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    # A session of its own, so that Ctrl-C does not reach it on a second way.
    gunicorn = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)  # noqa: S603
    try:
        url = f"http://127.0.0.1:{port}"
        if _answers(url, gunicorn):
            print(banner, flush=True)
        return gunicorn.wait()
    except SystemExit:
        gunicorn.terminate()
        gunicorn.wait()
        print("\nStopped.", flush=True)
        return 0


def _answers(url: str, gunicorn: subprocess.Popen[bytes]) -> bool:
    while gunicorn.poll() is None:
        try:
            with urllib.request.urlopen(url + "/health", timeout=5):  # noqa: S310  # our own URL
                return True
        except OSError:
            time.sleep(0.05)
    return False


def _secrets(instance: Path) -> dict[str, str]:
    """Return the secrets of this instance, made at its first start, so that tokens outlive a restart."""
    path = instance / "secrets.json"
    if not path.exists():
        made = {name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "JWT_SECRET_KEY")}
        path.touch(mode=0o600)
        path.write_text(json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


@contextmanager
def _left_for_commands(instance: Path, environment: dict[str, str]) -> Iterator[None]:
    """Keep the settings, secrets among them, where script/flask finds them, while the service runs."""
    os.environ.update(environment)
    settings = config.load_or_exit()
    lines = [
        f"{name}={shlex.quote(value)}\n"
        for name, value in environment.items()
        if name.removesuffix("_FILE") in settings
    ]
    path = instance / "environment"
    path.unlink(missing_ok=True)  # it may be there, of one that was killed
    path.touch(mode=0o600)
    path.write_text("".join(lines))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
