"""The command ``flask --app wsgi users import``."""

import json
import logging
import os
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

import click
from flask.cli import with_appcontext

from pixora.errors import DatabaseUnavailable
from pixora.importing import lines
from pixora.importing.batches import Batches
from pixora.importing.checkpoints import Checkpoint, NotOurs, fingerprint
from pixora.importing.importer import Importer, Refuse
from pixora.importing.lines import Line
from pixora.importing.records import Reader
from pixora.services import services

PIECE = 1024 * 1024


@click.command("import")
@with_appcontext
@click.argument("file", type=click.File("rb"))
@click.option(
    "--rejects",
    type=click.File("a", encoding="utf-8", lazy=False),
    help="Where refused lines are told of, as JSON lines; by default on stderr.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where is kept how far this has come, to go on from there when it was interrupted. Deleted at the end.",
)
@click.option("--restore-erased", is_flag=True, help="Import users as well who were erased since an earlier import.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def import_command(
    file: BinaryIO,
    rejects: TextIO | None,
    checkpoint: Path | None,
    restore_erased: bool,  # noqa: FBT001  # click's flag
    as_json: bool,  # noqa: FBT001  # click's flag
) -> None:
    """Import users from FILE, or from stdin when it is -, with the password hashes they have in another system.

    \b
    Each line is a user, as a JSON object:
      first_name, last_name, email, contact, birthday    as for signing up
      password_hash    by bcrypt, or by Argon2id, scrypt or PBKDF2-SHA256
                       as PHC or passlib write it
      id               24 hexadecimal digits; by default a new one
      created_at, updated_at    as in 2023-05-17T08:30:00Z; by default now
      email_verified, disabled  true or false, which is the default
      roles            of ["user", "admin"]; by default ["user"]

    Nobody gets a letter. Users log in with the passwords they have, which are hashed anew by bcrypt then. A hash that
    takes more than about a second, or 128 MiB, to check is refused. On a database of the FastAPI version run db upgrade
    before: else it is not found that an address is there in another case.

    It is safe to run again, also after kill -9: who is there already, with the same address and hash, is counted and
    left alone. With --checkpoint it goes on from where it was. A line is refused when another user has the address or
    the id. Refused lines are told of by number and reason, and keep none of the others from being imported.

    Users who have deleted their account since an earlier import are counted as erased and are not imported, unless you
    pass --restore-erased.

    The exit status is 0 when all are in, also from before; 1 when lines were refused; 2 when FILE cannot be opened or
    the checkpoint is of another one; 74 when reading or writing a file fails; and 75 when the database is away or the
    import was interrupted: run it again, then.
    """  # noqa: D301  # click wants the character itself
    began = time.monotonic()
    if sys.stderr.isatty():
        logging.getLogger().setLevel(logging.WARNING)  # a line for each batch would break the bar
    last = 0
    try:
        done = _load(checkpoint)
        last = done.line
        first, left = _begin(file, done)
        with _bar(file, done.offset) as show:

            def advance(line: Line, counts: Counter[str]) -> None:
                nonlocal last
                last = line.number
                if rejects:
                    rejects.flush()
                if checkpoint:
                    Checkpoint(line.number, line.end, first, counts).save(checkpoint)
                show(line.end)

            reader = Reader(services.settings.secret_key)
            batches = Batches(services.database, reader, services.erasure, restore=restore_erased)
            importer = Importer(reader, batches, _teller(rejects), advance, done.counts)
            importer.run(left)
        if checkpoint:
            checkpoint.unlink(missing_ok=True)
    except NotOurs as error:
        raise click.UsageError(str(error)) from error
    except DatabaseUnavailable as error:
        _stop(f"The database is not available ({error.reason}).", last, os.EX_TEMPFAIL)
    except KeyboardInterrupt:
        _stop("Interrupted.", last, os.EX_TEMPFAIL)
    except OSError as error:
        _stop(f"A file cannot be read or written: {error.strerror}.", last, os.EX_IOERR)
    _tell({"lines": last, **importer.counts, "seconds": round(time.monotonic() - began, 1)}, as_json=as_json)
    sys.exit(1 if importer.counts["refused"] else 0)


def _load(path: Path | None) -> Checkpoint:
    return (path and Checkpoint.load(path)) or Checkpoint(0, 0, "", {})


def _begin(file: BinaryIO, done: Checkpoint) -> tuple[str, Iterator[Line]]:
    """Return the fingerprint of a file, and the lines that are left to do; raise `NotOurs`, or OSError."""
    every = lines.read(file)
    first = next(every, None)
    found = fingerprint(first.data or b"" if first else b"")
    if first is None or done.line == 0:
        return found, every if first is None else chain([first], every)
    # By reading, not by seeking: it may be stdin, and takes a second for each gigabyte.
    left = done.offset - first.end
    while left > 0 and (piece := file.read(min(left, PIECE))):
        left -= len(piece)
    if found != done.fingerprint or left != 0:
        raise NotOurs("The checkpoint is of another file. Delete it to begin anew.")
    return found, lines.read(file, done.line, done.offset)


@contextmanager
def _bar(file: BinaryIO, offset: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing elsewhere; give what takes it to so many bytes."""
    status = os.fstat(file.fileno()) if sys.stderr.isatty() else None
    if status is None or not stat.S_ISREG(status.st_mode):
        yield lambda end: None
        return
    with click.progressbar(length=status.st_size, label="Importing", file=sys.stderr) as bar:
        bar.update(offset)
        yield lambda end: bar.update(end - bar.pos)


def _teller(rejects: TextIO | None) -> Refuse:
    def to_file(number: int, errors: Mapping[str, list[str]]) -> None:
        print(json.dumps({"line": number, "errors": errors}), file=rejects)

    def to_stderr(number: int, errors: Mapping[str, list[str]]) -> None:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)  # away with the bar, which comes again below
        for name, messages in errors.items():
            click.echo(f"Line {number}: {'' if name == 'line' else name + ': '}{' '.join(messages)}", err=True)

    return to_file if rejects else to_stderr


def _tell(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary))
        return
    erased = f"{summary['erased']:,} not imported because they were erased, " if summary["erased"] else ""
    click.echo(
        f"{summary['imported']:,} users imported, {summary['already_there']:,} there already, {erased}"
        f"{summary['refused']:,} lines refused, in {summary['seconds']:,} seconds."
    )


def _stop(why: str, last: int, status: int) -> NoReturn:
    click.echo(f"{why} All lines up to {last:,} are done. Run the same again to go on.", err=True)
    sys.exit(status)
