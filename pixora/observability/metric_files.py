"""The files in which gunicorn's workers keep the metrics, in a directory in memory that they share.

Each worker counts in its own files. A scrape adds up all files, also those of workers that have ended, because a
counter must never decrease. prometheus_client names the files by process id, which leaves a set for every worker that
ever ran. So the master numbers its workers, and a new worker continues the files of an ended one: there are never more
files than workers that ran at once, and reused process ids do no harm. When one master takes over from another
(SIGUSR2), one uses the even numbers and the other the odd ones. A worker that is killed while it writes loses only that
write.

gunicorn's master loads this file by its path, so it must import nothing of the application, see gunicorn.conf.py.
"""

import contextlib
import fcntl
import itertools
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  # the names in it are unique

FILES = {"histogram": 1 << 21, "counter": 1 << 16, "gauge_livesum": 1 << 16}
"""The files of a slot and the bytes reserved for each, enough for all routes with five statuses each. They are mapped
into memory: without the reservation, a write while memory is full would kill the process (SIGBUS)."""


class MetricFiles:
    """The directory of one service. All its processes hold a lock on it, which systemd-tmpfiles respects as well.

    Args:
        inherited: `handed_on` of the master that has started this one, if any.
        uid: The user of the workers.
        gid: The group of the workers.

    """

    def __init__(self, inherited: str | None, uid: int, gid: int) -> None:
        parent = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        prefix = f"pixora-counters-{os.getuid()}-"
        path, _, offset = (inherited or "").rpartition(":")
        self._offset = 0
        if path and Path(path).is_dir():
            self.path = Path(path)
            self._offset = int(offset)
            self._lock = _lock(self.path, fcntl.LOCK_SH)
        else:
            # It gets its name once it is locked: another master that starts now would remove an unlocked one.
            unlocked = Path(tempfile.mkdtemp(prefix=".pixora-counters-", dir=parent))
            if (uid, gid) != (os.geteuid(), os.getegid()):  # otherwise it needs no privilege, see deploy/pixora.service
                os.chown(unlocked, uid, gid)
            self._lock = _lock(unlocked, fcntl.LOCK_SH)
            self.path = unlocked.rename(parent / f"{prefix}{secrets.token_hex(8)}")
        for left in parent.glob(f"{prefix}*"):  # left by masters that were killed
            _remove_if_unused(left)

    @property
    def handed_on(self) -> str:
        """What a master that takes over needs: the directory, and whether its numbers are even or odd."""
        return f"{self.path}:{1 - self._offset}"

    def free_slot(self, taken: Collection[int]) -> int:
        """Return the first number of this master that no running worker has."""
        return next(slot for slot in itertools.count(self._offset, 2) if slot not in taken)

    def join(self, slot: int) -> None:
        """Let this process, a worker, count in the files of a slot.

        Raises:
            OSError: the files cannot be created, for example because memory is full; the worker then counts alone.

        """
        self.path.mkdir(mode=0o700, exist_ok=True)  # it may have been removed
        self._forget_gauges(slot)
        for name, size in FILES.items():
            _reserve(self.path / f"{name}_{slot}.db", size)
        from prometheus_client import values  # noqa: PLC0415  # not in the master: SIGHUP would not reload it

        values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]

    def forget(self, slot: int) -> None:
        """Remove the gauges of a worker that has ended; its counters stay."""
        with contextlib.suppress(OSError):  # an error would end the master
            self._forget_gauges(slot)

    def leave(self) -> None:
        """Remove the directory, unless other processes use it."""
        os.close(self._lock)
        _remove_if_unused(self.path)

    def _forget_gauges(self, slot: int) -> None:
        for file in self.path.glob(f"gauge_live*_{slot}.db"):
            file.unlink(missing_ok=True)


def _lock(path: Path, how: int) -> int:
    """Return an open file that holds a lock; raise BlockingIOError if another process holds it."""
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


def _reserve(path: Path, size: int) -> None:
    with path.open("ab") as file:
        if sys.platform == "linux":
            os.posix_fallocate(file.fileno(), 0, size)


def _remove_if_unused(path: Path) -> None:
    with contextlib.suppress(OSError):  # it is in use, was removed, or belongs to another user
        lock = _lock(path, fcntl.LOCK_EX)
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
