"""The commands ``flask --app wsgi db …`` and ``flask --app wsgi doctor``."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext

from pixora.cli import Group
from pixora.observability import logs
from pixora.services import services
from pixora.upkeep.addresses import Progress, Survey
from pixora.upkeep.doctor import checks, examine, unconfigured
from pixora.upkeep.findings import Finding, State
from pixora.upkeep.rewriting import Refusal
from pixora.upkeep.upgrade import Upgrade, upgrade

COLOURS = {State.OK: "green", State.WARNING: "yellow", State.FAULT: "red", State.UNKNOWN: "magenta"}

db = Group("db", help="Upgrade the database: indexes and data of older versions.")


@db.command("upgrade")
@click.option("--indexes-only", is_flag=True, help="Create the indexes, but change no e-mail address.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def upgrade_command(indexes_only: bool, as_json: bool) -> None:
    """Upgrade a database of the FastAPI version or of an older Pixora.

    Creates missing indexes and gives every e-mail address its canonical form: Unicode NFC, case-folded. The FastAPI
    version or Pixora can run meanwhile: no request waits, and concurrent changes are kept. The command can be
    interrupted or killed at any time; run it again to complete the rest. A million users take a minute.

    Where the addresses of two users differ only in case, neither is changed: a person must decide.

    A version that does not know yet that users can remove their password leaves a mark when such a user resets it, and
    the profile says `has_password: false`. Where such a version served beside a newer one or after it, run this again:
    it removes these marks.

    The FastAPI version stores new addresses in any case, so run this again after the switch. It also looks addresses
    up as they are stored: users who type capitals cannot log in there once their address is in lower case. Where that
    matters, run this with --indexes-only before the switch, and without it after. Pixora finds users either way.

    The exit status is 0 on success, 1 when a person has to act (the output says how), and 75 when the database is not
    available; completed work is kept.
    """
    logs.to_stderr()
    done = upgrade(services, _progress_bar, addresses_too=not indexes_only)
    if as_json:
        click.echo(json.dumps(done.as_json()))
    else:
        _print_upgrade(done)
    sys.exit(1 if done.advice else 0)


@contextmanager
def _progress_bar(label: str, length: int) -> Iterator[Progress]:
    """Show a progress bar on stderr if it is a terminal."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden) as bar:
        yield bar.update


def _print_upgrade(done: Upgrade) -> None:
    work, survey, rewriting, passwords = done
    for names, verb in ((work.made, "created"), (work.changed, "changed")):
        if names:
            click.echo(f"Indexes {verb}: {', '.join(names)}.")
    if not (work.made or work.changed or work.advice):
        click.echo("Indexes: all exist.")
    if rewriting:
        click.echo(f"E-mail addresses: {survey.users:,} users, {rewriting.changed:,} changed to canonical form.")
    else:
        click.echo(
            f"E-mail addresses: {survey.users:,} users, {survey.not_canonical:,} not in canonical form, none changed."
        )
    if rewriting and rewriting.meanwhile:
        click.echo(f"{rewriting.meanwhile:,} changed or disappeared during the upgrade.")
    if passwords:
        click.echo(f"Users marked as without a password although they have one: {passwords:,}, corrected.")
    for sentence in done.advice:
        click.secho(f"! {sentence}", fg="yellow")
    for line in _concerned(survey, rewriting.refused if rewriting else []):
        click.echo(f"  {line}")
    click.echo("If the FastAPI version is still in use, run this again after the switch.")


def _concerned(survey: Survey, refused: list[Refusal]) -> Iterator[str]:
    """Yield the users who need a person's decision, those with the same address on one line."""
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
        raise click.BadParameter("Must be a URL without a path, for example https://auth.example.com.")
    return value


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option(
    "--url",
    callback=_url,
    metavar="URL",
    help="Where clients reach the service, through all proxies; by default PUBLIC_URL.",
)
@with_appcontext
def doctor(as_json: bool, url: str | None) -> None:
    """Diagnose the configuration, the database, the e-mail delivery and the proxies.

    Checks the settings, the options of MONGO_URI, the version, members, clock, disk and indexes of MongoDB, the e-mail
    addresses and password hashes of all users, the outbox and the SMTP server. A request to the running service shows
    whether PROXY_COUNT lets it see the IPs of its clients. Nothing is changed, and no secret is printed. It takes some
    seconds, and some more for each million users.

    Each line is ok; warning, which may be intended; fault, with advice; or unknown, where a check could not be made.

    Run it where the service runs, with the same environment. The exit status is 1 when there is a fault, else 0.
    """
    logs.to_stderr()
    if faults := current_app.config.get("CONFIGURATION_FAULTS"):
        findings = unconfigured(faults)
    else:
        app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # as Flask documents it
        findings = examine(app, checks(services, url or services.settings.public_url))
    results = []
    for name, finding in findings:
        results.append({"check": name, **finding._asdict()})
        if not as_json:
            _print_finding(name, finding)
    has_fault = any(result["state"] is State.FAULT for result in results)
    if as_json:
        click.echo(json.dumps({"healthy": not has_fault, "checks": results}))
    sys.exit(1 if has_fault else 0)


class DoctorOnly(AppGroup):
    """The commands of an application that cannot be created: the doctor. All others exit with status 78."""

    def __init__(self, message: str) -> None:
        super().__init__("pixora", commands=[doctor])
        self._message = message

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the doctor, or exit."""
        if cmd_name != doctor.name:
            click.echo(self._message, err=True)
            sys.exit(os.EX_CONFIG)
        return doctor


def app_with_doctor_only(message: str, faults: Mapping[str, list[str]]) -> Flask:
    """Return a substitute for an application that cannot be created, because of these faults of the settings.

    Commands other than the doctor print the message.
    """
    app = Flask("pixora")
    app.config["CONFIGURATION_FAULTS"] = faults
    app.cli = DoctorOnly(message)
    return app


def _print_finding(name: str, finding: Finding) -> None:
    state = click.style(f"{finding.state:8}", fg=COLOURS[finding.state])
    click.echo(f"{state} {name}: {finding.message}")
    if finding.advice:
        click.echo(f"         → {finding.advice}")
