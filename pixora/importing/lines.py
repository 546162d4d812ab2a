"""The lines of a file of any size, none of which takes more memory than a request may."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

LONGEST = 16 * 1024
"""Bytes of a line, as of a request's body; a profile with the longest of everything has less than 4 KiB."""

PIECE = 64 * 1024
BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line.

    Attributes:
        number: From 1 on, in the file.
        data: Its bytes; None when they are more than `LONGEST`.
        end: How many bytes of the file there are up to its end.
        is_cut_off: Whether it is the last one, without a line break: perhaps not all of the file is there.

    """

    number: int
    data: bytes | None
    end: int
    is_cut_off: bool


def read(file: BinaryIO, number: int = 0, offset: int = 0) -> Iterator[Line]:
    """Yield the lines that are left of a file, of which so many, with so many bytes, have been read. Raises OSError."""
    while data := file.readline(LONGEST + 1):
        number += 1
        offset += len(data)
        is_whole = data.endswith(b"\n")
        kept = None if len(data) > LONGEST else data
        while not is_whole and kept is None and (piece := file.readline(PIECE)):
            offset += len(piece)
            is_whole = piece.endswith(b"\n")
        if kept is not None and number == 1:
            kept = kept.removeprefix(BOM)
        yield Line(number, kept, offset, not is_whole)
