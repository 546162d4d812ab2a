"""How far an import has come, kept in a small file beside it, so that the next run goes on from there.

It is replaced as a whole after each batch that a majority of MongoDB's members has. What was done after it, before a
kill -9, is done again, and found to be there.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self


class NotOurs(ValueError):
    """The file is no checkpoint, or one of another import."""


class Checkpoint(NamedTuple):
    """How far an import has come.

    Attributes:
        line: The number of the last line that is done.
        offset: How many bytes of the file there are up to its end.
        fingerprint: Of the first line: a digest, which tells nothing of what stands in it.
        counts: What became of the lines.

    """

    line: int
    offset: int
    fingerprint: str
    counts: Mapping[str, int]

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Return what a file holds, None where there is none; raise `NotOurs`, or OSError."""
        try:
            kept = json.loads(path.read_bytes())
            return cls(int(kept["line"]), int(kept["offset"]), str(kept["fingerprint"]), Counter(kept["counts"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise NotOurs(f"{path} is no checkpoint. Delete it to begin anew.") from error

    def save(self, path: Path) -> None:
        """Put this in the place of what the file holds; raise OSError."""
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.write_text(json.dumps(self._asdict()))
        unfinished.replace(path)


def fingerprint(line: bytes) -> str:
    """Return what tells one file from another, by its first line."""
    return hashlib.sha256(line).hexdigest()
