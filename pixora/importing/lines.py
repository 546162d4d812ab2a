"""Reading the lines of a file of any size in bounded memory."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

LONGEST = 16 * 1024
"""Maximum bytes of a line, as of a request body; the longest possible profile has less than 4 KiB."""

PIECE = 64 * 1024
BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line."""

    number: int  # its number, from 1
    data: bytes | None  # its bytes; None if there are more than `LONGEST`
    end: int  # the position in the file after it, in bytes
    is_cut_off: bool  # whether its line break is missing: the file may be incomplete


def read(file: BinaryIO, number: int = 0, offset: int = 0) -> Iterator[Line]:
    """Yield the lines of a file after the first `number` lines, which have `offset` bytes; raise OSError."""
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
