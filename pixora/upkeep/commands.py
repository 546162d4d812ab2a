"""The commands: ``flask --app wsgi db …`` and ``flask --app wsgi doctor``."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from pixora.cli import Group
from pixora.observability import logs
from pixora.services import services
from pixora.upkeep.addresses import Progress, Survey
from pixora.upkeep.doctor import checks, examine, unconfigured
from pixora.upkeep.findings import Finding, State
from pixora.upkeep.rewriting import Refusal
from pixora.upkeep.upgrade import Upgrade, upgrade

COLOURS = {State.OK: "green", State.WARNING: "yellow", State.FAULT: "red", State.UNKNOWN: "magenta"}

db = Group("db", help="The database: its indexes, and what older versions have left in it.")


@db.command("upgrade")
@click.option("--indexes-only", is_flag=True, help="Make the indexes, and only look at the addresses.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def upgrade_command(indexes_only: bool, as_json: bool) -> None:  # noqa: FBT001  # click's flags
    """Make a database of the FastAPI version, or of an older Pixora, fit for this one.

    Makes the indexes that are missing, and gives every e-mail address its canonical form: Unicode NFC, case-folded.
    Both can go on beside the FastAPI version or Pixora at work: nobody has to wait, and what somebody changes meanwhile
    stays. It can be interrupted, killed and repeated at any time, and then does what is left. A million users take a
    minute.

    Where two users have one address in two cases, neither is changed: a person must decide.

    As long as the FastAPI version is in use, it takes in new addresses in any case: run this once more after the
    switch. And it finds a user by the address as it is stored: whoever types capitals there is unknown to it once the
    address is in lower case. Where that matters, run this with --indexes-only before the switch, and without it after.
    Pixora finds them either way.

    The exit status is 0 when all is well, 1 when something needs a person (it is told what), and 75 when the database
    is away: what was done by then stays done.
    """
    logs.to_stderr()
    done = upgrade(services.database, services.erasure, _bar, addresses_too=not indexes_only)
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
    if rewriting:
        click.echo(f"Addresses: {survey.users:,} users, {rewriting.changed:,} changed to their canonical form.")
    else:
        click.echo(f"Addresses: {survey.users:,} users, {survey.not_canonical:,} not in canonical form, none changed.")
    if rewriting and rewriting.meanwhile:
        click.echo(f"{rewriting.meanwhile:,} were changed by somebody else meanwhile.")
    for sentence in done.advice:
        click.secho(f"! {sentence}", fg="yellow")
    for line in _concerned(survey, rewriting.refused if rewriting else []):
        click.echo(f"  {line}")
    click.echo("If the FastAPI version is still in use, run this again after the switch.")


def _concerned(survey: Survey, refused: list[Refusal]) -> Iterator[str]:
    """Yield the users whom somebody has to look at, those with one address on one line."""
    for clash in survey.clashes:
        yield ", ".join(f"{member.user_id} ({member.address})" for member in clash.members)
    if len(survey.clashing) > len(survey.clashes):
        yield f"and {len(survey.clashing) - len(survey.clashes):,} more"
    for refusal in refused:
        yield f"{refusal.user_id} ({refusal.address})"
    for user_id in survey.without:
        yield f"{user_id} (no address)"


def _url(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    parts = urlsplit(value or "")
    if value and (parts.scheme not in ("http", "https") or value.rstrip("/") != f"{parts.scheme}://{parts.netloc}"):
        raise click.BadParameter("Must be as in https://auth.example.com, without a path.")
    return value


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option(
    "--url",
    callback=_url,
    metavar="URL",
    help="Where clients find the service, proxies and all, to ask it what it sees of them; by default PUBLIC_URL.",
)
@with_appcontext
def doctor(as_json: bool, url: str | None) -> None:  # noqa: FBT001  # click's flag
    """Find out what is wrong with the configuration, the database and the way to the service.

    Looks, and changes nothing: at the settings, at how MONGO_URI connects and when its writes are done; at version,
    members, clock, disk and indexes of MongoDB; at the addresses and password hashes of all users; at the outbox and
    the SMTP server; and, by a request to the service that is running, at whether PROXY_COUNT lets it see its clients.
    It takes some seconds, and some more for each million users.

    Each line says how it stands: ok; warning, which may be meant; fault, with what to do; unknown, where something
    could not be looked at, and why. Nothing that is printed is secret.

    Run it where the service runs, with its environment. The exit status is 1 when there is a fault, else 0.
    """
    logs.to_stderr()
    if faults := current_app.config.get("CONFIGURATION_FAULTS"):
        findings = unconfigured(faults)
    else:
        app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # as Flask documents it
        findings = examine(app, checks(app, url or services.settings.public_url))
    told = []
    for name, finding in findings:
        told.append({"check": name, "state": finding.state, "told": finding.told, "advice": finding.advice})
        if not as_json:
            _tell_finding(name, finding)
    has_fault = any(one["state"] is State.FAULT for one in told)
    if as_json:
        click.echo(json.dumps({"healthy": not has_fault, "checks": told}))
    sys.exit(1 if has_fault else 0)


def for_the_doctor(faults: Mapping[str, list[str]]) -> Flask:
    """Return what stands in for an application that cannot be made: it has the doctor and nothing else.

    Args:
        faults: Why it cannot be made: sentences by the name of the setting.

    """
    app = Flask("pixora")
    app.config["CONFIGURATION_FAULTS"] = faults
    app.cli.add_command(doctor)
    return app


def _tell_finding(name: str, finding: Finding) -> None:
    state = click.style(f"{finding.state:8}", fg=COLOURS[finding.state])
    click.echo(f"{state} {name}: {finding.told}")
    if finding.advice:
        click.echo(f"         → {finding.advice}")
