"""The commands: ``flask --app wsgi db …``."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pixora import logs
from pixora.cli import Group
from pixora.database import database
from pixora.upkeep.addresses import Progress
from pixora.upkeep.upgrade import Upgrade, upgrade

db = Group("db", help="The database: its indexes, and what older versions have left in it.")


@db.command("upgrade")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def upgrade_command(as_json: bool) -> None:  # noqa: FBT001  # click's flag
    """Make a database of the FastAPI version, or of an older Pixora, fit for this one.

    Makes the indexes that are missing, and gives every e-mail address its canonical form: lower case and Unicode NFC.
    Both can go on beside the FastAPI version or Pixora at work: nobody is locked out, and what somebody changes
    meanwhile stays. It can be interrupted, killed and repeated at any time, and then does what is left. A million users
    take a minute.

    Where two users have one address in two cases, neither is changed: a person must decide.

    As long as the FastAPI version is in use, it takes in new addresses in any case: run this before the switch to have
    most of it done, and once more after.

    The exit status is 0 when all is well, 1 when something needs a person (it is told what), and 75 when the database
    is away: what was done by then stays done.
    """
    logs.to_stderr()
    done = upgrade(database, _bar)
    if as_json:
        click.echo(json.dumps(done.as_json()))
    else:
        _tell(done)
    sys.exit(1 if done.advice else 0)


@contextmanager
def _bar(what: str, number: int) -> Iterator[Progress]:
    """Show a bar on a terminal, and nothing elsewhere."""
    # On stderr: the output is for a program, or a file.
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=number, label=what, file=sys.stderr, hidden=hidden) as bar:
        yield bar.update


def _tell(done: Upgrade) -> None:
    work, survey, rewriting = done
    for names, verb in ((work.made, "made"), (work.changed, "changed")):
        if names:
            click.echo(f"Indexes {verb}: {', '.join(names)}.")
    if not (work.made or work.changed or work.advice):
        click.echo("Indexes: all there.")
    changed = rewriting.changed if rewriting else 0
    click.echo(f"Addresses: {survey.users:,} users, {changed:,} changed to their canonical form.")
    if rewriting and rewriting.meanwhile:
        click.echo(f"{rewriting.meanwhile:,} were changed by somebody else meanwhile.")
    for sentence in done.advice:
        click.secho(f"! {sentence}", fg="yellow")
    for clash in survey.clashes:
        click.echo("  " + ", ".join(f"{member.user_id} ({member.address})" for member in clash.members))
    for refusal in rewriting.refused if rewriting else []:
        click.echo(f"  {refusal.user_id} ({refusal.address})")
    if len(survey.clashing) > len(survey.clashes):
        click.echo(f"  and {len(survey.clashing) - len(survey.clashes):,} more")
    for user_id in survey.without:
        click.echo(f"  {user_id} (no address)")
    click.echo("If the FastAPI version is still in use, run this again after the switch.")
