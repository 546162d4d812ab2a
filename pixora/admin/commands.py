"""The ``flask --app wsgi users`` commands for single users; ``users import`` is in `pixora.importing`."""

import json
import sys
from typing import Any

import click
from marshmallow import ValidationError

from pixora import clock, emails
from pixora.accounts.audit import COMMAND
from pixora.accounts.documents import User, new_user
from pixora.accounts.roles import ADMIN, ROLES, roles_of
from pixora.admin import service
from pixora.admin.changes import OPERATOR
from pixora.admin.schemas import AdminUserSchema
from pixora.auth.schemas import SignupSchema
from pixora.cli import Group
from pixora.errors import EmailTaken, LastAdmin, UserNotFound
from pixora.observability import logs
from pixora.passwords import policy, verify
from pixora.services import services

LONGEST_LINE = 1024
"""Bytes read of a password on stdin: more than any accepted password has."""


class UserGroup(Group):
    """A group of commands that report a refusal in one sentence and exit with status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        logs.to_stderr()
        try:
            return super().invoke(ctx)
        except (EmailTaken, LastAdmin, UserNotFound) as error:
            raise click.ClickException(error.detail) from error


users = UserGroup("users", help="Manage users: create, show, disable, enable or promote one, import many.")


@users.command()
@click.option("--email", required=True, help="The e-mail address.")
@click.option("--first-name", help="The first name.")
@click.option("--last-name", help="The last name.")
@click.option("--contact", help="The telephone number, for example +44 20 7946 0958.")
@click.option("--birthday", help="The birthday, for example 1990-12-10.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default=ROLES[0],
    show_default=True,
    help="Administrators also have the role user.",
)
@click.option("--verified", is_flag=True, help="Mark the e-mail address as verified.")
def create(role: str, verified: bool, **options: str | None) -> None:  # noqa: FBT001  # click's flag
    """Create a user, as by signing up; no e-mail is sent.

    The setting REQUIRED_FIELDS names the options that are required besides --email; by default all of the profile.

    Asks twice for the password, which is not shown. If stdin is not a terminal, its first line is the password:

        pass show pixora/ada | flask --app wsgi users create --email ada@example.com …

    Create the first administrator with --role admin.

    The exit status is 0 when the user is created, 1 when the password is rejected or the e-mail address is taken, 2
    when another value is invalid, and 75 when the database is not available.
    """
    schema = SignupSchema()
    profile = {name: value for name, value in options.items() if value is not None}
    for name in services.settings.required_fields:
        if name not in profile:
            raise click.MissingParameter(param_hint=f"'--{name.replace('_', '-')}'", param_type="option")
    # Before the prompt for the password.
    faults = schema.validate({**profile, "password": ""})
    if messages := [f"--{name.replace('_', '-')}: {_sentence(faults[name])}" for name in profile if name in faults]:
        raise click.UsageError("\n".join(messages))
    try:
        fields = schema.load({**profile, "password": _password()})
        policy.check_strength(fields["password"], policy.known_words(fields))
    except ValidationError as error:
        raise click.ClickException(f"The password is rejected: {_sentence(error.messages_dict['password'])}") from error
    except policy.PasswordRejected as error:
        raise click.ClickException(f"The password is rejected: {_sentence(error.messages)}") from error
    password_hash = verify.hash_password(fields["password"], services.settings.bcrypt_rounds)
    roles = [known for known in ROLES if known in (ROLES[0], role)]
    user = new_user(fields, password_hash, clock.utcnow(), email_verified=verified, roles=roles)
    services.users.create_user(user)
    services.audit.record("user_created", user["_id"], by=COMMAND, roles=roles)
    click.echo(f"Created user {user['email']} (id {user['_id']}).")


@users.command()
@click.argument("user")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show(user: str, as_json: bool) -> None:  # noqa: FBT001  # click's flag
    """Show the profile of USER, an id or an e-mail address.

    The case of the address is ignored, and no secrets are shown.

    The exit status is 0, 1 when there is no such user, and 75 when the database is not available.
    """
    shown: dict[str, Any] = AdminUserSchema().dump(service.find(_id_of(user)))
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        text = _text(value)
        # Old accounts may contain control sequences for terminals.
        click.echo(f"{name}: {''.join(part if part.isprintable() else ascii(part)[1:-1] for part in text)}")


@users.command()
@click.argument("user")
def disable(user: str) -> None:
    """Disable USER, an id or an e-mail address: end all sessions and reject logins.

    The exit status is 0 when the user is disabled, even if already before; 1 when there is no such user, or no enabled
    administrator would be left; and 75 when the database is not available.
    """
    _report(user, "disabled", changed=service.disable(_id_of(user), OPERATOR))


@users.command()
@click.argument("user")
def enable(user: str) -> None:
    """Enable USER, an id or an e-mail address, who then has to log in again.

    The exit status is 0 when the user is enabled, even if already before; 1 when there is no such user; and 75 when the
    database is not available.
    """
    _report(user, "enabled", changed=service.enable(_id_of(user), OPERATOR))


@users.command()
@click.argument("user")
def promote(user: str) -> None:
    """Make USER, an id or an e-mail address, an administrator, from the next request on.

    To demote an administrator, another one sends PUT /api/admin/users/{id}/roles.

    The exit status is 0 when the user is an administrator, even if already before; 1 when there is no such user; and 75
    when the database is not available.
    """
    found = service.find(_id_of(user))
    roles = roles_of(found)
    if ADMIN not in roles:
        service.set_roles(found["_id"], [*roles, ADMIN], OPERATOR)
    _report(user, "an administrator", changed=ADMIN not in roles)


def _id_of(user: str) -> str:
    found: User | None = (
        services.users.find_by_email(*emails.spellings(user)) if "@" in user else services.directory.find_profile(user)
    )
    if found is None:
        raise UserNotFound
    return str(found["_id"])


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password", err=True))
    line = sys.stdin.buffer.readline(LONGEST_LINE)
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise click.ClickException("The password is rejected: it is not UTF-8.") from error


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case list():
            return ", ".join(value)
        case dict():
            return json.dumps(value)
    return str(value)


def _sentence(messages: Any) -> str:
    return " ".join(messages)


def _report(user: str, state: str, *, changed: bool) -> None:
    click.echo(f"{user} is {'now' if changed else 'already'} {state}.")
