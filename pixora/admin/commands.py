"""The ``flask --app wsgi users`` commands.

Those that change one user are in `action_commands`; ``users import`` is in `pixora.importing`.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import click
from marshmallow import ValidationError

from pixora import clock
from pixora.accounts.audit import COMMAND
from pixora.accounts.documents import ROLES, User, new_user
from pixora.admin import invitations, listing
from pixora.admin.action_commands import ACTIONS
from pixora.admin.changes import OPERATOR
from pixora.admin.command_group import (
    UserGroup,
    check_required,
    id_of,
    json_option,
    option_of,
    profile_of,
    sentence,
    text_of,
)
from pixora.admin.schemas import CreateUserSchema, ListUsersSchema, UserPageSchema
from pixora.auth.schemas import SignupSchema
from pixora.errors import ValidationFailed
from pixora.passwords import policy, verify
from pixora.services import services

LONGEST_LINE = 1024
"""Bytes read of a password on stdin: more than any accepted password has."""

users = UserGroup("users", help="Manage users: list, show, create, invite or change them, import many.")
for action in ACTIONS:
    users.add_command(action)


def profile_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that describe a new user."""
    for option in (
        click.option(
            "--role",
            type=click.Choice(ROLES),
            default=ROLES[0],
            show_default=True,
            help="Administrators also have the role user.",
        ),
        click.option("--locale", help="The language of e-mails, for example de or de-AT."),
        click.option("--birthday", help="The birthday, for example 1990-12-10."),
        click.option("--contact", help="The telephone number, for example +44 20 7946 0958."),
        click.option("--last-name", help="The last name."),
        click.option("--first-name", help="The first name."),
        click.option("--email", required=True, help="The e-mail address."),
    ):
        command = option(command)
    return command


@users.command()
@profile_options
@click.option("--verified", is_flag=True, help="Mark the e-mail address as verified.")
@json_option
def create(role: str, verified: bool, as_json: bool, **options: str | None) -> None:
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
    check_required(profile)
    # Before the prompt for the password.
    faults = schema.validate({**profile, "password": ""})
    if messages := [f"{option_of(name)}: {sentence(faults[name])}" for name in profile if name in faults]:
        raise click.UsageError("\n".join(messages))
    try:
        fields = schema.load({**profile, "password": _password()})
        policy.check_strength(fields["password"], policy.known_words(fields))
    except ValidationError as error:
        raise click.ClickException(f"The password is rejected: {sentence(error.messages_dict['password'])}") from error
    except policy.PasswordRejected as error:
        raise click.ClickException(f"The password is rejected: {sentence(error.messages)}") from error
    password_hash = verify.hash_password(fields["password"], services.settings.bcrypt_rounds)
    roles = _roles(role)
    user = new_user(fields, password_hash, clock.utcnow(), email_verified=verified, roles=roles)
    services.users.create_user(user)
    services.audit.record("user_created", user["_id"], by=COMMAND, roles=roles)
    _print_new(user, f"Created user {user['email']}", as_json=as_json)


@users.command()
@profile_options
@click.option("--again", is_flag=True, help="Send the invitation of an invited user again; needs --email only.")
@json_option
def invite(role: str, again: bool, as_json: bool, **options: str | None) -> None:
    """Invite a user: create an account without a password, and send a link to choose one.

    The link is valid for 7 days. The setting REQUIRED_FIELDS names the options that are required besides --email; by
    default all of the profile.

    The exit status is 0 when the invitation is queued, 1 when the e-mail address is taken or has received too many
    e-mails, 2 when a value is invalid, and 75 when the database is not available.
    """
    profile = {name: value for name, value in options.items() if value is not None}
    if again:
        user_id = id_of(profile["email"])
        invitations.send_again(user_id, OPERATOR)
        click.echo(json.dumps(profile_of(user_id)) if as_json else f"Invited {profile['email']} again.")
        return
    check_required(profile)
    try:
        fields = CreateUserSchema().load({**profile, "invite": True, "roles": _roles(role)})
    except ValidationError as error:
        raise _usage(error.messages_dict) from error
    user = invitations.invite(fields, OPERATOR)
    _print_new(user, f"Invited {user['email']}", as_json=as_json)


@users.command()
@click.argument("user")
@json_option
def show(user: str, as_json: bool) -> None:
    """Show the profile of USER, an id or an e-mail address.

    The case of the address is ignored, and no secrets are shown.

    The exit status is 0, 1 when there is no such user, and 75 when the database is not available.
    """
    shown = profile_of(id_of(user))
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        click.echo(f"{name}: {text_of(value)}")


@users.command("list")
@click.option("--email", help="Users whose e-mail address begins like this.")
@click.option("--role", help="Users with this role: user or admin.")
@click.option("--disabled/--enabled", default=None, help="Disabled users, or enabled ones.")
@click.option(
    "--verified/--unverified", "email_verified", default=None, help="Users with a verified address, or without."
)
@click.option("--created-after", help="Users created at this time or later, as in 2026-01-31T00:00:00Z.")
@click.option("--created-before", help="Users created before this time.")
@click.option("--limit", default="20", show_default=True, help="The number of users on a page, 1 to 100.")
@click.option("--after", help="The cursor that the page before has printed.")
@click.option("--total", is_flag=True, default=None, help="Count the users of all pages, however many there are.")
@json_option
def list_command(as_json: bool, **options: Any) -> None:
    """List users, page by page.

    Prints id, e-mail address, roles and state of each, and how to get the next page. They are ordered by id; by address
    with --email; by time with --created-after or --created-before.

    The exit status is 0, 2 when a filter or cursor is invalid, and 75 when the database is not available.
    """
    query = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in options.items()
        if value is not None
    }
    try:
        page = UserPageSchema().dump(listing.list_users(ListUsersSchema().load(query)))
    except ValidationError as error:
        raise _usage(error.messages_dict) from error
    except ValidationFailed as error:
        raise _usage(error.errors) from error
    if as_json:
        click.echo(json.dumps(page))
        return
    for user in page["items"]:
        is_invited = "invited_at" in user
        states = {
            "disabled": user["disabled"],
            "invited": is_invited,
            "no password": not (user.get("has_password", True) or is_invited),
            "verified": user["email_verified"],
        }
        words = ", ".join([*user["roles"], *(state for state, holds in states.items() if holds)])
        click.echo(f"{text_of(user['id'])}  {text_of(user['email'])}  {words}")
    total = "more than 1,000" if page["total"] is None else f"{page['total']:,}"
    more = f" Next page: --after {page['next']}" if page["next"] else ""
    click.echo(f"{len(page['items'])} of {total} users.{more}", err=True)


def _print_new(user: User, told: str, *, as_json: bool) -> None:
    click.echo(json.dumps(profile_of(user["_id"])) if as_json else f"{told} (id {user['_id']}).")


def _roles(role: str) -> list[str]:
    return [known for known in ROLES if known in (ROLES[0], role)]


def _usage(errors: dict[str, Any]) -> click.UsageError:
    options = {"email_verified": "--verified"}
    return click.UsageError(
        "\n".join(f"{options.get(name) or option_of(name)}: {sentence(errors[name])}" for name in errors)
    )


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password", err=True))
    line = sys.stdin.buffer.readline(LONGEST_LINE)
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise click.ClickException("The password is rejected: it is not UTF-8.") from error
