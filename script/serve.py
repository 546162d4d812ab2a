"""Runs gunicorn with a development mongod; script/server calls it after script/setup."""

import signal
from dataclasses import fields

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `main` sets its handler, so that Ctrl-C prints no traceback

import argparse
import errno
import fcntl
import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cryptography.fernet import Fernet
from mongod import Mongod, MongodFailed, free_port

import config

BANNER = """
  Pixora is up: {url}
  What runs here, for your browser: {url}
  Try it in the browser: {url}/docs

  Sign up from another terminal:

    curl -i {url}/api/auth/signup -H 'Content-Type: application/json' -d '{{
      "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com",
      "password": "difference-engine-no-2", "contact": "+442079460958", "birthday": "1990-12-10"}}'

  E-mails are kept and not sent. Read them at {url}/outbox, or from another terminal:

    {flask} mail show

  {notes}
  Ctrl-C stops it.
"""

IMPATIENT_SECONDS = 15
"""After this time, a line says what the server waits for."""


class Refused(Exception):
    """The server cannot start. The message says why, and what to do."""


class Stop:
    """Ends the program at SIGINT, SIGTERM and SIGHUP, except while a process is being started or stopped."""

    def __init__(self) -> None:
        self._asked = False
        self._deferred = False

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Delay signals to the end of the block, so that no process is left behind, however often Ctrl-C is pressed."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._asked:
            raise SystemExit

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if not self._deferred:
            raise SystemExit


STOP = Stop()


def main() -> int:
    """Start both, wait, stop both; return the exit status."""
    STOP.install()
    options = argparse.ArgumentParser(prog="script/server", description=__doc__)
    options.add_argument("--port", type=_port, default=8000, help="1 to 65535; 8000 by default")
    options.add_argument("--instance", type=Path, default=ROOT / "instance", help="where data and secrets are kept")
    arguments = options.parse_args()
    try:
        with ExitStack() as stack:
            return _run(arguments.port, arguments.instance.resolve(), stack)
    except (Refused, MongodFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except SystemExit as end:
        if end.code is None:
            print("\nStopped.", flush=True)
            return 0
        raise


def _run(port: int, instance: Path, stack: ExitStack) -> int:
    url = f"http://127.0.0.1:{port}"
    try:
        instance.mkdir(parents=True, exist_ok=True)
        stack.enter_context(_occupied(instance, url))
        _refuse_a_port_in_use(port)
        environment = _environment(instance, url)
    except OSError as error:
        raise Refused(f"{error.filename or instance} cannot be used: {error.strerror}.") from error
    notes = ["The database is the one in MONGO_URI."]
    if not _is_given("MONGO_URI", environment):
        mongod = Mongod(instance / "mongodb", binary=config.mongod())
        stack.callback(_stop, mongod)
        with STOP.deferred():
            mongod.launch(free_port())
        mongod.wait_until_ready()
        environment["MONGO_URI"] = mongod.uri("pixora")
        notes = [f"Users stay in {instance.relative_to(ROOT) if instance.is_relative_to(ROOT) else instance}/."]
    host = _trusted_host(environment)
    if host != "127.0.0.1":
        notes.append(f"TRUSTED_HOSTS lets requests in by other names only, for example {host}.")
    flask = "script/flask" if instance == ROOT / "instance" else f"script/flask --instance {shlex.quote(str(instance))}"
    stack.enter_context(_left_for_commands(instance, environment))
    return _serve(port, host, environment, BANNER.format(url=url, notes="\n  ".join(notes), flask=flask))


def _serve(port: int, host: str, environment: dict[str, str], banner: str) -> int:
    # Not -m gunicorn: after SIGUSR2 it would start with gunicorn's package `http` in place of Python's.
    command = [str(Path(sys.executable).with_name("gunicorn")), "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    gunicorn = None
    try:
        with STOP.deferred():
            # In its own session, so that Ctrl-C does not reach it twice.
            gunicorn = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)  # noqa: S603
        if _answers(port, host, gunicorn):
            print(banner, flush=True)
        return gunicorn.wait()
    finally:
        if gunicorn is not None:
            with STOP.deferred():
                gunicorn.terminate()
                gunicorn.wait()


def _stop(mongod: Mongod) -> None:
    with STOP.deferred():
        mongod.stop()


def _answers(port: int, host: str, gunicorn: subprocess.Popen[bytes]) -> bool:
    """Wait until the service is ready; return False if it has ended instead."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/health", headers={"Host": host})
    impatient_at = time.monotonic() + IMPATIENT_SECONDS
    while gunicorn.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310  # our own URL
                return True
        except OSError as error:
            if time.monotonic() > impatient_at:
                impatient_at = float("inf")
                said = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else error
                print(f"Pixora is not ready yet, and is waited for. GET /health: {said}", file=sys.stderr, flush=True)
            time.sleep(0.05)
    return False


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError("must be a number from 1 to 65535")


def _is_given(name: str, environment: Mapping[str, str]) -> bool:
    """Return whether a setting is given, directly or as the path of a file."""
    return bool(environment.get(name) or environment.get(f"{name}_FILE"))


def _environment(instance: Path, url: str) -> dict[str, str]:
    """Return the settings: the environment, and defaults for development."""
    environment = dict(os.environ)
    defaults = {"PIXORA_ENV": "development", "MALLOC_ARENA_MAX": "2", "PUBLIC_URL": url}
    if not _is_given("PUBLIC_URL", environment):
        defaults["JWT_ISSUER"] = "pixora"  # so that tokens stay valid after a change of port
    if not _is_given("SECRET_KEY", environment):
        defaults["SECRET_KEY"] = _secret_key(instance)
    if not _is_given("DATA_KEYS", environment):
        defaults["DATA_KEYS"] = _data_key(instance)
    environment |= {name: value for name, value in defaults.items() if not _is_given(name, environment)}
    if not _is_given("JWT_SECRET_KEY", environment) and not environment.get("JWT_KEY_DIR_FILE"):
        keys = Path(environment.get("JWT_KEY_DIR") or instance / "keys").resolve()
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(keys.glob("*.pem")):
            from pixora.upkeep.keys import make_key  # noqa: PLC0415  # loads the whole application

            make_key(keys, "ES256")
        environment["JWT_KEY_DIR"] = str(keys)
    return environment


def _secret_key(instance: Path) -> str:
    """Return the secret of this instance, created at its first start: refresh tokens stay valid after a restart."""
    path = instance / "secrets.json"
    if not path.exists():
        unfinished = instance / "secrets.json.new"
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps({"SECRET_KEY": secrets.token_urlsafe(48)}))
        unfinished.rename(path)
    try:
        return str(json.loads(path.read_text())["SECRET_KEY"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"{path} holds no SECRET_KEY. Delete it to have a new one made; everybody signs in anew."
        ) from error


def _data_key(instance: Path) -> str:
    """Return the key of this instance for second factors, created at its first start: they outlive a restart."""
    path = instance / "data_key"
    if not path.exists():
        unfinished = instance / "data_key.new"
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(Fernet.generate_key().decode())
        unfinished.rename(path)
    return path.read_text().strip()


def _trusted_host(environment: Mapping[str, str]) -> str:
    """Return a host name that the service accepts: 127.0.0.1, or the first one of TRUSTED_HOSTS."""
    trusted = [host.strip() for host in environment.get("TRUSTED_HOSTS", "").split(",") if host.strip()]
    if not trusted or "127.0.0.1" in trusted:
        return "127.0.0.1"
    return trusted[0].removeprefix("*").removeprefix(".")


@contextmanager
def _occupied(instance: Path, url: str) -> Iterator[None]:
    """Lock this instance; raise `Refused` if another server uses it."""
    with (instance / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel releases it when this process ends
        except BlockingIOError:
            lock.seek(0)
            raise Refused(
                f"Pixora already runs on this instance, {instance}: {lock.read().strip()}. Stop it there with Ctrl-C, "
                "or give this one an --instance and a --port of its own."
            ) from None
        lock.truncate(0)
        lock.write(f"{url} (process {os.getpid()})\n")
        lock.flush()
        yield


@contextmanager
def _left_for_commands(instance: Path, environment: dict[str, str]) -> Iterator[None]:
    """Store the settings, including secrets, for script/flask while the service runs."""
    os.environ.update(environment)
    config.load_or_exit()
    settings = {field.name.upper() for field in fields(config.Settings)}
    lines = [
        f"{name}={shlex.quote(value)}\n"
        for name, value in environment.items()
        if name.removesuffix("_FILE") in settings
    ]
    path = instance / "environment"
    path.unlink(missing_ok=True)  # left by a server that was killed
    path.touch(mode=0o600)
    path.write_text("".join(lines))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _refuse_a_port_in_use(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = {errno.EADDRINUSE: "is taken. Stop what listens there, or", errno.EACCES: "is for root only. Please"}
            raise Refused(
                f"Port {port} {why.get(error.errno or 0, 'cannot be used. Please')} choose another with --port."
            ) from error


if __name__ == "__main__":
    sys.exit(main())
