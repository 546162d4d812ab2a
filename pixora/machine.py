"""The cores of the machine, for threads that would keep them busy: a permit for each, and a low priority.

All processes of this user share the permits. A permit is a lock on a file: the kernel gives it back when its holder
dies, however it dies.
"""

import contextlib
import fcntl
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

NICENESS = 2
"""Of the hashing threads. With 64 clients who log in and 8 who read, on two cores: with 1, readers keep 0.78 of their
rate and logins have 0.26 of what they could; with 3, 0.84 and 0.18; with 10 or 19, 0.9 and 0.1."""


class Permit:
    """One of the permits in a directory; to be closed by who has opened it."""

    def __init__(self, directory: Path, number: int) -> None:
        self._core = (directory / f"core-{number}").open("w")
        self._turn = (directory / f"core-{number}.next").open("w")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the permit, as soon as it is to be had."""
        # Whoever gives the core back and wants it again comes after the one who waits for it: that one has the turn.
        # With the core's lock alone, the last holder is mostly the next.
        with _locked(self._turn):
            fcntl.flock(self._core, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._core, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files."""
        self._core.close()
        self._turn.close()


def directory() -> Path:
    """Return the directory of the permits: one for each user of this machine, and writable by no other.

    Raises:
        PermissionError: somebody else has made it, or others may write there.

    """
    path = Path(tempfile.gettempdir()) / f"pixora-hashing-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or path.is_symlink() or status.st_mode & 0o077:
        raise PermissionError(f"{path} belongs to someone else, or is open to others. Remove it.")
    return path


@contextlib.contextmanager
def _locked(file: IO[str]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def number() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def lower_priority() -> None:
    """Give the calling thread `NICENESS`; elsewhere than on Linux, where it is the process that has one, do nothing."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
