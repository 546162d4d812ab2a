"""The command ``flask --app wsgi users import``."""

import json
import logging
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
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
from pixora.importing.importer import Importer, Refusals
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
    help="Where to append refused lines, as JSON lines; by default they are printed on stderr.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to store the progress, to continue from there after an interruption. Deleted at the end.",
)
@click.option("--restore-erased", is_flag=True, help="Also import users who were erased since an earlier import.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def import_command(
    file: BinaryIO,
    rejects: TextIO | None,
    checkpoint: Path | None,
    restore_erased: bool,
    as_json: bool,
) -> None:
    """Import users with their password hashes from FILE, or from stdin if it is -.

    \b
    Each line is a user, as a JSON object:
      email, first_name, last_name, contact, birthday    as for signing up
      password_hash    by bcrypt, or by Argon2id, scrypt or PBKDF2 as PHC or
                       passlib write it; null for a user who has to choose a
                       password by a link
      id               24 hexadecimal digits; by default a new one
      created_at, updated_at    as in 2023-05-17T08:30:00Z; by default now
      email_verified, disabled  true or false, which is the default
      roles            of ["user", "admin"]; by default ["user"]
      locale           the language of e-mails, as in de or de-AT
      metadata, app_metadata    JSON objects of up to 4 KiB; by default none

    No e-mail is sent. Users log in with their passwords, which are then hashed by bcrypt. A hash that takes more than
    about a second, or 128 MiB, to check is refused. On a database of the FastAPI version, run db upgrade first:
    otherwise existing e-mail addresses in another case are not recognised.

    The command can be repeated, also after kill -9: users who exist with the same e-mail address and hash are counted
    and left alone. With --checkpoint it continues where it stopped. A line is refused if another user has the address
    or the id. Refused lines are reported with number and reason; the others are imported.

    Users who deleted their account, by id or e-mail address, are counted as erased, and are not imported unless you
    pass --restore-erased.

    The exit status is 0 when all users are imported, now or before; 1 when lines were refused; 2 when FILE cannot be
    opened or the checkpoint belongs to another file; 74 when a file cannot be read or written; and 75 when the database
    is not available or the import was interrupted: then run it again.
    """  # noqa: D301  # click wants the character itself
    started = time.monotonic()
    if sys.stderr.isatty():
        logging.getLogger().setLevel(logging.WARNING)  # a log line for each batch would break the progress bar
    last = 0
    try:
        done = (checkpoint and Checkpoint.load(checkpoint)) or Checkpoint(0, 0, "", {})
        last = done.line
        first, remaining = _open(file, done)
        reader = Reader(services.settings.secret_key, services.settings.data_keys)
        services.database.ask("ping")  # with the usual deadline: a batch has a minute
        batches = Batches(services.users, reader, services.erasure, restore=restore_erased)
        importer = Importer(reader, batches, done.counts)
        with _progress_bar(file, done.offset) as show:
            for line, refused in importer.run(remaining):
                last = line.number
                _print_refused(refused, rejects)
                if checkpoint:
                    Checkpoint(last, line.end, first, importer.counts).save(checkpoint)
                show(line.end)
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
    summary = {"lines": last, **importer.counts, "seconds": round(time.monotonic() - started, 1)}
    click.echo(json.dumps(summary) if as_json else _sentence(summary))
    sys.exit(1 if importer.counts["refused"] else 0)


def _open(file: BinaryIO, done: Checkpoint) -> tuple[str, Iterator[Line]]:
    """Return the fingerprint of a file and its remaining lines; raise `NotOurs` or OSError."""
    every = lines.read(file)
    first = next(every, None)
    found = fingerprint(first.data or b"" if first else b"")
    if first is None or done.line == 0:
        return found, every if first is None else chain([first], every)
    # Skipped by reading, a second for each gigabyte, because stdin may not be seekable.
    left = done.offset - first.end
    while left > 0 and (piece := file.read(min(left, PIECE))):
        left -= len(piece)
    if found != done.fingerprint or left != 0:
        raise NotOurs("The checkpoint belongs to another file. Delete it to start over.")
    return found, lines.read(file, done.line, done.offset)


@contextmanager
def _progress_bar(file: BinaryIO, offset: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if stderr is a terminal; give the function that moves it to an offset of the file."""
    status = os.fstat(file.fileno()) if sys.stderr.isatty() else None
    if status is None or not stat.S_ISREG(status.st_mode):
        yield lambda end: None
        return
    with click.progressbar(length=status.st_size, label="Importing", file=sys.stderr) as bar:
        bar.update(offset)
        yield lambda end: bar.update(end - bar.pos)


def _print_refused(refused: Refusals, rejects: TextIO | None) -> None:
    for number, errors in refused.items():
        if rejects:
            print(json.dumps({"line": number, "errors": errors}), file=rejects)
            continue
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)  # clear the progress bar, which is drawn again below
        for name, messages in errors.items():
            click.echo(f"Line {number}: {'' if name == 'line' else name + ': '}{' '.join(messages)}", err=True)
    if rejects:
        rejects.flush()


def _sentence(summary: dict[str, Any]) -> str:
    erased = f"{summary['erased']:,} not imported because they were erased, " if summary["erased"] else ""
    return (
        f"{summary['imported']:,} users imported, {summary['already_there']:,} already there, {erased}"
        f"{summary['refused']:,} lines refused, in {summary['seconds']:,} seconds."
    )


def _stop(reason: str, last: int, status: int) -> NoReturn:
    click.echo(f"{reason} All lines up to {last:,} are done. Run the same command again to continue.", err=True)
    sys.exit(status)
