"""Where the workers of gunicorn count what `pixora.observability.metrics` names: a directory in memory that they share.

Each worker counts in files of its own, and a scrape adds up those of all, the dead among them, for a counter must not
go back. prometheus_client names the files by process id, and so leaves a set for every worker there ever was. Here the
master numbers its workers, and a new one goes on with the files of a dead one. So there are never more of them than
there were workers at once, and process ids that come again do no harm. Of two masters, one that takes over from the
other (SIGUSR2), one has the even numbers and the other the odd ones. A worker that is killed while it writes loses
that, and no more: a number is written in one go, and a new one counts only when it is all there.

gunicorn's master loads this, alone and by its path, so it must import nothing of the application, see gunicorn.conf.py.
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

MEMORY = Path("/dev/shm")  # noqa: S108  # the names in it are made unique

FILES = {"histogram": 1 << 21, "counter": 1 << 16, "gauge_livesum": 1 << 16}
"""Files of a slot, and the bytes that are reserved for each: more than all routes take with five statuses each. They
are mapped into memory: without the reservation, a write when memory is full would kill the process (SIGBUS)."""


class MetricFiles:
    """The directory of one service. All processes of it hold a lock on it; systemd-tmpfiles respects that, too.

    Args:
        inherited: What `handed_on` of the master that has started this one is, where there is one.
        uid: Who the workers are.
        gid: Their group.

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
            # Under its name only when it is locked, or else a master that starts now might take it for a left one.
            unlocked = Path(tempfile.mkdtemp(prefix=".pixora-counters-", dir=parent))
            if (uid, gid) != (os.geteuid(), os.getegid()):  # else it needs no right to, see deploy/pixora.service
                os.chown(unlocked, uid, gid)
            self._lock = _lock(unlocked, fcntl.LOCK_SH)
            self.path = unlocked.rename(parent / f"{prefix}{secrets.token_hex(8)}")
        for left in parent.glob(f"{prefix}*"):  # by masters that were killed
            _remove_if_unused(left)

    @property
    def handed_on(self) -> str:
        """What a master that takes over needs to know: the directory, and which numbers are its own."""
        return f"{self.path}:{1 - self._offset}"

    def free_slot(self, taken: Collection[int]) -> int:
        """Return the first number of this master's that no living worker has."""
        return next(slot for slot in itertools.count(self._offset, 2) if slot not in taken)

    def join(self, slot: int) -> None:
        """Have this process, a worker, count here for as long as it lives.

        Raises:
            OSError: it cannot, because there is no room for example; then it counts for itself.

        """
        self.path.mkdir(mode=0o700, exist_ok=True)  # somebody may have removed it
        self._forget_gauges(slot)
        for name, size in FILES.items():
            _reserve(self.path / f"{name}_{slot}.db", size)
        from prometheus_client import values  # noqa: PLC0415  # what the master imports SIGHUP does not renew

        values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]

    def forget(self, slot: int) -> None:
        """Forget what is true of a living worker only; what a dead one has counted stays."""
        with contextlib.suppress(OSError):  # which the master would not survive
            self._forget_gauges(slot)

    def leave(self) -> None:
        """Remove the directory, unless others use it."""
        os.close(self._lock)
        _remove_if_unused(self.path)

    def _forget_gauges(self, slot: int) -> None:
        for file in self.path.glob(f"gauge_live*_{slot}.db"):
            file.unlink(missing_ok=True)


def _lock(path: Path, how: int) -> int:
    """Return an open file that holds a lock; raise BlockingIOError when it is not to be had."""
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
    with contextlib.suppress(OSError):  # it is in use, or gone, or another's
        lock = _lock(path, fcntl.LOCK_EX)
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
