"""The commands: ``flask --app wsgi users …``, for one user at a time; ``users import`` is in `pixora.importing`."""

import json
import sys
from typing import Any

import click
from marshmallow import ValidationError

from pixora import clock, emails
from pixora.accounts.audit import COMMAND
from pixora.accounts.roles import ADMIN, ROLES, roles_of
from pixora.admin import service
from pixora.admin.schemas import AdminUserSchema
from pixora.auth.schemas import SignupSchema
from pixora.cli import Group
from pixora.database.client import Document
from pixora.errors import EmailTaken, LastAdmin, UserNotFound
from pixora.observability import logs
from pixora.passwords import policy, verify
from pixora.services import services

LONGEST_LINE = 1024
"""Bytes of a password that comes by stdin: more than any that is accepted."""


class UserGroup(Group):
    """A group of commands that end with status 1, and a sentence, when what they are asked for is refused."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        logs.to_stderr()
        try:
            return super().invoke(ctx)
        except (EmailTaken, LastAdmin, UserNotFound) as error:
            raise click.ClickException(error.detail) from error


users = UserGroup("users", help="The users: make, show, disable, enable and promote one; import many.")


@users.command()
@click.option("--email", required=True, help="The e-mail address.")
@click.option("--first-name", required=True, help="The first name.")
@click.option("--last-name", required=True, help="The last name.")
@click.option("--contact", required=True, help="The telephone number, as in +44 20 7946 0958.")
@click.option("--birthday", required=True, help="The birthday, as in 1990-12-10.")
@click.option("--role", type=click.Choice(ROLES), default=ROLES[0], show_default=True, help="An admin is a user, too.")
@click.option("--verified", is_flag=True, help="Take the address for verified: you know that its owner reads it.")
def create(role: str, verified: bool, **profile: str) -> None:  # noqa: FBT001  # click's flag
    """Create a user, as by signing up; no letter is sent.

    Asks for the password twice, and shows nothing of it. Where stdin is no terminal, its first line is the password:

        pass show pixora/ada | flask --app wsgi users create --email ada@example.com …

    The first administrator is made with --role admin.

    The exit status is 0 when the user is there, 1 when the password is refused or the address taken, 2 when another
    value is not acceptable, and 75 when the database is away.
    """
    schema = SignupSchema()
    # First, so that nobody types a password in vain.
    faults = schema.validate({**profile, "password": ""})
    if told := [f"--{name.replace('_', '-')}: {_sentence(faults[name])}" for name in profile if name in faults]:
        raise click.UsageError("\n".join(told))
    try:
        fields = schema.load({**profile, "password": _password()})
        policy.check_strength(
            fields["password"], policy.known_words(fields["first_name"], fields["last_name"], fields["email"])
        )
    except ValidationError as error:
        raise click.ClickException(f"The password is refused: {_sentence(error.messages_dict['password'])}") from error
    except policy.PasswordRejected as error:
        raise click.ClickException(f"The password is refused: {_sentence(error.messages)}") from error
    user = {
        "_id": services.users.new_id(),
        **fields,
        "password": verify.hash_password(fields["password"], services.settings.bcrypt_rounds),
        "email_verified": verified,
        "roles": [known for known in ROLES if known in (ROLES[0], role)],
    }
    services.users.create_user(user, clock.utcnow())
    services.audit.record("user_created", user["_id"], by=COMMAND, roles=user["roles"])
    click.echo(f"{user['email']} is there now, with the id {user['_id']}.")


@users.command()
@click.argument("user")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show(user: str, as_json: bool) -> None:  # noqa: FBT001  # click's flag
    """Show the profile of USER, an id or an e-mail address in any case; no secrets.

    The exit status is 0 when there is one, 1 when not, and 75 when the database is away.
    """
    shown: dict[str, Any] = AdminUserSchema().dump(service.find(_id_of(user)))
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        text = ", ".join(value) if isinstance(value, list) else str(value)
        # Old accounts may hold what moves the cursor of a terminal.
        click.echo(f"{name}: {''.join(part if part.isprintable() else ascii(part)[1:-1] for part in text)}")


@users.command()
@click.argument("user")
def disable(user: str) -> None:
    """Shut out USER, an id or an e-mail address: sessions end, and no password is right any more.

    The exit status is 0 when the user is disabled, also before; 1 when there is none, or no other administrator would
    be left; and 75 when the database is away.
    """
    _tell(user, "disabled", changed=service.disable(_id_of(user), COMMAND))


@users.command()
@click.argument("user")
def enable(user: str) -> None:
    """Let in USER again, an id or an e-mail address, who has to log in anew.

    The exit status is 0 when the user is enabled, also before; 1 when there is none; and 75 when the database is away.
    """
    _tell(user, "enabled", changed=service.enable(_id_of(user), COMMAND))


@users.command()
@click.argument("user")
def promote(user: str) -> None:
    """Make USER, an id or an e-mail address, an administrator, from the next request on.

    Other administrators demote one, by PUT /api/admin/users/{id}/roles.

    The exit status is 0 when the user is an administrator, also before; 1 when there is no such user; and 75 when the
    database is away.
    """
    found = service.find(_id_of(user))
    roles = roles_of(found)
    if ADMIN not in roles:
        service.set_roles(found["_id"], [*roles, ADMIN], COMMAND)
    _tell(user, "an administrator", changed=ADMIN not in roles)


def _id_of(user: str) -> str:
    found: Document | None = (
        services.users.find_by_email(*emails.spellings(user)) if "@" in user else services.directory.find_profile(user)
    )
    if found is None:
        raise UserNotFound
    return str(found["_id"])


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True))
    line = sys.stdin.buffer.readline(LONGEST_LINE)
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise click.ClickException("The password is refused: it is not UTF-8.") from error


def _sentence(messages: Any) -> str:
    return " ".join(messages)


def _tell(user: str, standing: str, *, changed: bool) -> None:
    click.echo(f"{user} is {standing}{' now' if changed else ' already'}.")
