"""What all command groups have in common.

Exit statuses are those of BSD's sysexits.h: 0, success; 1, refused, or a person has to act; 2, a faulty command line;
75 (EX_TEMPFAIL), the database or another server is not available, try again; 78 (EX_CONFIG), a faulty configuration.
"""

import os
import sys
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup, routes_command, run_command, shell_command

from pixora.errors import DatabaseUnavailable


class Group(AppGroup):
    """A group of commands that report an unavailable database in one sentence and exit with status 75."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except DatabaseUnavailable as error:
            advice = "See MONGO_URI." if error.reason == "unauthorized" else "Try again later."
            click.echo(f"The database is not available ({error.reason}). {advice}", err=True)
            sys.exit(os.EX_TEMPFAIL)


def list_own_commands_only(app: Flask) -> None:
    """Leave the commands of Flask and its extensions out of `flask --help`; they still run by their names."""
    for command in (routes_command, run_command, shell_command, app.cli.commands.get("openapi")):
        if command is not None:
            command.hidden = True
