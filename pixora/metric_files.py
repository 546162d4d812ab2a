"""Where the workers of gunicorn count what `pixora.metrics` names: a directory in memory that they share.

Each worker counts in files of its own, and a scrape adds up those of all, the dead among them, for a counter must not
go back. prometheus_client names the files by process id, and so leaves a set for every worker there ever was. Here they
are named by a slot: the first that no living worker has, whose counts it then goes on with. So there are never more of
them than there were workers at once, and ids that come again do no harm. A slot is a locked file, which the kernel
unlocks when its holder dies, however it dies. A worker that is killed while it writes loses that, and no more: a number
is written in one go, and a new one counts only when it is all there.

gunicorn's master loads this, alone and by its path, so it must import nothing of the application, see gunicorn.conf.py.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  # the names in it are made unique

FILES = {"histogram": 1 << 21, "counter": 1 << 16, "gauge_livesum": 1 << 16}
"""Files of a slot, and the bytes that are reserved for each: more than all routes take with five statuses each. They
are mapped into memory, and whoever writes there when no memory is left is killed by SIGBUS."""


class MetricFiles:
    """The directory of one service. All processes of it hold a lock on it; systemd-tmpfiles respects that, too.

    Args:
        inherited: The directory of the master that has started this one, where there is one.
        uid: Who the workers are.
        gid: Their group.

    """

    def __init__(self, inherited: str | None, uid: int, gid: int) -> None:
        parent = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        prefix = f"pixora-counters-{os.getuid()}-"
        if inherited and Path(inherited).is_dir():
            self.path = Path(inherited)
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

    def join(self) -> None:
        """Have this process, a worker, count here for as long as it lives.

        Raises:
            OSError: it cannot, for want of room say; then it counts for itself.

        """
        self.path.mkdir(mode=0o700, exist_ok=True)  # somebody may have removed it
        slot = 0
        while _lock_slot(self.path, slot) is None:
            slot += 1
        self._forget_gauges(slot)
        for name, size in FILES.items():
            _reserve(self.path / f"{name}_{slot}.db", size)
        from prometheus_client import values  # noqa: PLC0415  # what the master imports SIGHUP does not renew

        values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]

    def tidy(self) -> None:
        """Forget what is true of living workers only, in the slots that nobody has."""
        for file in self.path.glob("slot-*"):
            slot = int(file.name.removeprefix("slot-"))
            with contextlib.suppress(OSError):  # which the master would not survive
                if (lock := _lock_slot(self.path, slot)) is not None:
                    self._forget_gauges(slot)
                    os.close(lock)

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


def _lock_slot(directory: Path, slot: int) -> int | None:
    """Return an open file that holds a slot; None when another process has it."""
    path = directory / f"slot-{slot}"
    path.touch(mode=0o600)
    try:
        return _lock(path, fcntl.LOCK_EX)
    except BlockingIOError:
        return None


def _reserve(path: Path, size: int) -> None:
    with path.open("ab") as file:
        if sys.platform == "linux":
            os.posix_fallocate(file.fileno(), 0, size)


def _remove_if_unused(path: Path) -> None:
    with contextlib.suppress(OSError):  # it is in use, or gone, or another's
        lock = _lock(path, fcntl.LOCK_EX)
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
