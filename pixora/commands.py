"""The commands of ``flask --app wsgi``."""

# ruff: noqa: PLC0415  # see Commands

import click
from flask.cli import AppGroup


class Commands(AppGroup):
    """All commands, by their groups.

    Their modules are imported when a command is looked up, because a worker of gunicorn never runs one.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command."""
        self._load()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        self._load()
        return super().list_commands(ctx)

    def _load(self) -> None:
        from pixora.admin.commands import users
        from pixora.factors.commands import reset_factors_command
        from pixora.importing.commands import import_command
        from pixora.mail.commands import mail
        from pixora.upkeep.commands import db, doctor
        from pixora.upkeep.data_keys import data
        from pixora.upkeep.keys import keys

        users.add_command(import_command)
        users.add_command(reset_factors_command)
        keys.add_command(data)
        for command in (keys, mail, db, users, doctor):
            self.add_command(command)
