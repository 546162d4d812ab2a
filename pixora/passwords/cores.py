"""Core locks: one for each core of the machine, shared by all processes of this user.

A hashing thread of `pixora.passwords.queue` holds one while it computes, so that never more hashes are computed at once
than there are cores.

A semaphore shared by the workers fails: the count of a worker that is killed is lost for ever. So a core lock is a lock
on a file, which the kernel releases when its holder dies. A frozen holder (SIGSTOP, a debugger, a paused container)
keeps it, so the file also contains when the lock was last taken, and a waiting thread can tell that it has stalled.
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
"""The nice value of hashing threads. Measured on two cores with 64 clients that log in and 8 that read: at 1, readers
keep 0.78 of their rate and logins 0.26 of theirs; at 3, 0.84 and 0.18; at 10 or 19, 0.9 and 0.1."""

_TIME = struct.Struct("d")
"""The content of a lock file: when the lock was last taken, on the monotonic clock, which all processes share."""


class CoreLock:
    """The lock of one core, for one thread, which closes it at its end."""

    def __init__(self, directory: Path, number: int) -> None:
        self._core = os.open(directory / f"core-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        self._next = os.open(directory / f"core-{number}.next", os.O_RDWR | os.O_CREAT, 0o600)
        self._waiting_since: float | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, and hold it while the `with` block runs."""
        self._waiting_since = time.monotonic()
        # The second lock makes the process that waits the next holder. With one lock alone, the last holder wins.
        with _locked(self._next):
            fcntl.flock(self._core, fcntl.LOCK_EX)
        self._waiting_since = None
        try:
            os.pwrite(self._core, _TIME.pack(time.monotonic()), 0)
            yield
        finally:
            fcntl.flock(self._core, fcntl.LOCK_UN)

    def stalled_for(self) -> float:
        """Return the seconds since any process took the lock or this thread began to wait; 0 if it does not wait."""
        waiting_since, now = self._waiting_since, time.monotonic()
        if waiting_since is None:
            return 0.0
        content = os.pread(self._core, _TIME.size, 0)
        taken_at: float = _TIME.unpack(content)[0] if len(content) == _TIME.size else 0.0
        # A time in the future was written before the machine restarted.
        return now - max(waiting_since, taken_at if taken_at <= now else 0.0)

    def close(self) -> None:
        """Close the files."""
        os.close(self._core)
        os.close(self._next)


def default_lock_directory() -> Path:
    """Return the directory of the core locks, which only this user can write to.

    Raises:
        PermissionError: The directory belongs to another user, or others can write to it.

    """
    path = Path(tempfile.gettempdir()) / f"pixora-hashing-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or path.is_symlink() or status.st_mode & 0o077:
        raise PermissionError(f"{path} belongs to another user or is open to others. Remove it.")
    return path


def count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def lower_priority() -> None:
    """Add `NICENESS` to that of the calling thread; only Linux has priorities of threads, elsewhere do nothing."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)


@contextlib.contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
