"""The group of the `users` commands, and what they have in common."""

import json
import logging
import sys
from typing import Any

import click

from pixora import emails
from pixora.accounts.documents import User
from pixora.admin import service
from pixora.admin.errors import NotInvited, UserDisabled
from pixora.admin.schemas import AdminUserSchema
from pixora.cli import Group
from pixora.errors import EmailTaken, LastAdmin, RateLimited, UserNotFound
from pixora.observability import logs
from pixora.services import services

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class UserGroup(Group):
    """A group of commands that report a refusal in one sentence and exit with status 1.

    On a terminal the lines of the log are left out: the events are in the audit trail, and the output says the same.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        logs.to_stderr()
        if sys.stderr.isatty():
            logging.getLogger().setLevel(logging.WARNING)
        try:
            return super().invoke(ctx)
        except RateLimited as error:
            raise click.ClickException(
                f"This address has received too many e-mails. Try again in {error.retry_after} seconds."
            ) from error
        except (EmailTaken, LastAdmin, NotInvited, UserDisabled, UserNotFound) as error:
            raise click.ClickException(error.detail) from error


def id_of(user: str) -> str:
    """Return the id of a user, given by id or e-mail address; raise `UserNotFound`."""
    found: User | None = (
        services.users.find_by_email(*emails.spellings(user)) if "@" in user else services.directory.find_profile(user)
    )
    if found is None:
        raise UserNotFound
    return str(found["_id"])


def profile_of(user_id: str) -> dict[str, Any]:
    """Return the profile of a user as administrators see it; raise `UserNotFound`."""
    shown: dict[str, Any] = AdminUserSchema().dump(service.find(user_id))
    return shown


def report(user: str, user_id: str, state: str, *, changed: bool, as_json: bool) -> None:
    """Print the outcome of a command."""
    if as_json:
        click.echo(json.dumps({"changed": changed, "user": profile_of(user_id)}))
    else:
        click.echo(f"{user} is {'now' if changed else 'already'} {state}.")


def check_required(profile: dict[str, str]) -> None:
    """Check that the options are there that `REQUIRED_FIELDS` names."""
    for name in services.settings.required_fields:
        if name not in profile:
            raise click.MissingParameter(param_hint=f"'{option_of(name)}'", param_type="option")


def option_of(field: str) -> str:
    """Return the option for a field."""
    return f"--{field.replace('_', '-')}"


def sentence(messages: Any) -> str:
    """Return the messages for a field in one line."""
    return " ".join(messages)


def text_of(value: Any) -> str:
    """Return a value of a profile as text without control sequences for terminals, which old accounts may contain."""
    match value:
        case None:
            text = ""
        case list():
            text = ", ".join(value)
        case dict():
            text = json.dumps(value)
        case _:
            text = str(value)
    return "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)
