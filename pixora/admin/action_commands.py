"""The `users` commands that change one user."""

import json
import sys

import click
from flask.cli import with_appcontext

from pixora.accounts.documents import ADMIN, USER
from pixora.accounts.users import roles_of
from pixora.admin import accounts, service
from pixora.admin.changes import OPERATOR
from pixora.admin.command_group import id_of, json_option, report


@click.command()
@with_appcontext
@click.argument("user")
@json_option
def disable(user: str, as_json: bool) -> None:
    """Disable USER, an id or an e-mail address: end all sessions and reject logins.

    The exit status is 0 when the user is disabled, even if already before; 1 when there is no such user, or no enabled
    administrator would be left; and 75 when the database is not available.
    """
    user_id = id_of(user)
    report(user, user_id, "disabled", changed=service.disable(user_id, OPERATOR), as_json=as_json)


@click.command()
@with_appcontext
@click.argument("user")
@json_option
def enable(user: str, as_json: bool) -> None:
    """Enable USER, an id or an e-mail address, who then has to log in again.

    The exit status is 0 when the user is enabled, even if already before; 1 when there is no such user; and 75 when the
    database is not available.
    """
    user_id = id_of(user)
    report(user, user_id, "enabled", changed=service.enable(user_id, OPERATOR), as_json=as_json)


@click.command()
@with_appcontext
@click.argument("user")
@json_option
def promote(user: str, as_json: bool) -> None:
    """Make USER, an id or an e-mail address, an administrator, from the next request on.

    The exit status is 0 when the user is an administrator, even if already before; 1 when there is no such user; and 75
    when the database is not available.
    """
    found = service.find(id_of(user))
    roles = roles_of(found)
    if ADMIN not in roles:
        service.set_roles(found["_id"], [*roles, ADMIN], OPERATOR)
    report(user, found["_id"], "an administrator", changed=ADMIN not in roles, as_json=as_json)


@click.command()
@with_appcontext
@click.argument("user")
@json_option
def demote(user: str, as_json: bool) -> None:
    """Take the role admin from USER, an id or an e-mail address, from the next request on.

    The exit status is 0 when the user is no administrator, even if already before; 1 when there is no such user, or no
    enabled administrator would be left; and 75 when the database is not available.
    """
    found = service.find(id_of(user))
    roles = roles_of(found)
    if ADMIN in roles:
        service.set_roles(found["_id"], [role for role in roles if role != ADMIN] or [USER], OPERATOR)
    report(user, found["_id"], "no administrator", changed=ADMIN in roles, as_json=as_json)


@click.command()
@with_appcontext
@click.argument("user")
@json_option
def verify(user: str, as_json: bool) -> None:
    """Mark the e-mail address of USER, an id or an e-mail address, as verified.

    The exit status is 0 when the address is verified, even if already before; 1 when there is no such user; and 75 when
    the database is not available.
    """
    user_id = id_of(user)
    report(user, user_id, "verified", changed=accounts.verify(user_id, OPERATOR), as_json=as_json)


@click.command()
@with_appcontext
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
def delete(user: str, yes: bool, as_json: bool) -> None:
    """Delete USER, an id or an e-mail address, with everything stored about them. No e-mail is sent.

    Asks for confirmation on a terminal; elsewhere --yes is required.

    The exit status is 0 when the user is deleted; 1 when there is no such user, no enabled administrator would be left,
    or you did not confirm; 2 when --yes is missing; and 75 when the database is not available.
    """
    user_id = id_of(user)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Deleting cannot be undone. Pass --yes to confirm it.")
        click.confirm(f"Delete {user} and everything stored about them?", abort=True, err=True)
    accounts.delete(user_id, OPERATOR)
    click.echo(json.dumps({"deleted": user_id}) if as_json else f"Deleted {user} (id {user_id}).")


ACTIONS = (disable, enable, promote, demote, verify, delete)
