"""The progress of an import, in a small file, from which the next run continues.

The file is replaced as a whole after each batch that a majority of MongoDB's members has stored. After kill -9, later
lines are imported again, which finds their users already there.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self


class NotOurs(ValueError):
    """The file is not a checkpoint, or belongs to another import."""


class Checkpoint(NamedTuple):
    """The progress of an import."""

    line: int  # the number of the last imported line
    offset: int  # the position in the file after that line, in bytes
    fingerprint: str  # a digest of the first line of the file
    counts: Mapping[str, int]  # the number of lines by outcome

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read a file; return None if there is none, raise `NotOurs` or OSError."""
        try:
            kept = json.loads(path.read_bytes())
            return cls(int(kept["line"]), int(kept["offset"]), str(kept["fingerprint"]), Counter(kept["counts"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise NotOurs(f"{path} is not a checkpoint. Delete it to start over.") from error

    def save(self, path: Path) -> None:
        """Replace the content of a file; raise OSError."""
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.write_text(json.dumps(self._asdict()))
        unfinished.replace(path)


def fingerprint(line: bytes) -> str:
    """Return a digest of the first line, which distinguishes files."""
    return hashlib.sha256(line).hexdigest()
