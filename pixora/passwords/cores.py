"""The cores of the machine, for threads that would keep them busy: a permit for each, and a low priority.

All processes of this user share the permits. A permit is a lock on a file: the kernel releases it when its holder dies,
however it dies. The kernel does not release it when its holder is frozen (SIGSTOP, a debugger, a paused container), so
each permit also notes when it was last taken, and a waiting process can tell how long nothing has moved.
"""

import contextlib
import fcntl
import os
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

NICENESS = 2
"""Of the hashing threads. With 64 clients who log in and 8 who read, on two cores: with 1, readers keep 0.78 of their
rate and logins have 0.26 of what they could; with 3, 0.84 and 0.18; with 10 or 19, 0.9 and 0.1."""


class Permit:
    """One of the permits in a directory, for one thread; to be closed by the caller that opened it."""

    def __init__(self, directory: Path, number: int) -> None:
        self._core = os.open(directory / f"core-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        self._turn = os.open(directory / f"core-{number}.next", os.O_RDWR | os.O_CREAT, 0o600)
        self._awaited_since: float | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the permit, as soon as it is to be had."""
        self._awaited_since = time.monotonic()
        # A process that releases the core and wants it again comes after the one that waits for it: that one has the
        # turn. With the core's lock alone, the last holder is mostly the next.
        with _locked(self._turn):
            fcntl.flock(self._core, fcntl.LOCK_EX)
        self._awaited_since = None
        try:
            os.pwrite(self._core, _TIME.pack(time.monotonic()), 0)
            yield
        finally:
            fcntl.flock(self._core, fcntl.LOCK_UN)

    def stalled_for(self) -> float:
        """Return for how many seconds this permit has been awaited here while no process took it; 0 when it is not."""
        awaited_since, now = self._awaited_since, time.monotonic()
        if awaited_since is None:
            return 0.0
        noted = os.pread(self._core, _TIME.size, 0)
        [taken] = _TIME.unpack(noted) if len(noted) == _TIME.size else (0.0,)
        # A time in the future is from before this machine was started.
        return now - max(awaited_since, taken if taken <= now else 0.0)

    def close(self) -> None:
        """Close the files."""
        os.close(self._core)
        os.close(self._turn)


_TIME = struct.Struct("d")
"""What is in the file of a core: when it was last taken, on the monotonic clock, which all processes share."""


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
def _locked(file: int) -> Iterator[None]:
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
