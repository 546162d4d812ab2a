"""Other people's packages, installed from locks into a cache that is made once for each state of the lock."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixora"


def node_modules(lock: Path = HERE / "package-lock.json") -> Path:
    """Return the `node_modules` of a package-lock.json. Scripts of the packages do not run."""

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(lock.with_name(name), folder)
        run("npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", cwd=folder)

    return _cached(lock, run("node", "--version"), install) / "node_modules"


def python(lock: Path = HERE / "generator.txt") -> Path:
    """Return the `bin` directory of an environment with the requirements of a lock."""

    def install(folder: Path) -> None:
        run(sys.executable, "-m", "venv", folder)
        run(folder / "bin/pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", lock)

    return _cached(lock, sys.version, install) / "bin"


def run(*command: str | Path, **options: object) -> str:
    """Return what a command prints; fail with all that it printed."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _cached(lock: Path, version: str, install: Callable[[Path], None]) -> Path:
    key = hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()[:16]
    folder = CACHE / f"{lock.parent.name}-{lock.stem}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # the tests run in several processes
        if not (folder / ".installed").exists():
            install(folder)
            (folder / ".installed").touch()  # written last, so that an interrupted installation is begun anew
    return folder
