"""Every command is documented, names its exit statuses and takes no secret on the command line."""

import json
import os
import re
from dataclasses import replace

import click
import pytest
from mongod import free_port

from pixora import create_app

OTHERS = {"openapi"}
"""Commands of Flask-Smorest."""

USER_COMMANDS = (
    *("create", "show", "disable", "enable", "promote", "import"),
    *("list", "demote", "delete", "verify", "invite"),
)
IMPORT = ["users", "import", os.devnull, "--json"]
READ_BY_PROGRAMS = {"list", "show", "doctor", "upgrade", "import"}
SECRET = re.compile("passw|secret|token|credential|pin$", re.IGNORECASE)


def walk(group, *path):
    context = click.Context(group)
    for name in group.list_commands(context):
        if not path and name in OTHERS:
            continue
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from walk(command, *path, name)


@pytest.fixture(scope="module")
def everything(session_app):
    """All commands and groups by path."""
    return dict(walk(session_app.cli))


@pytest.fixture(scope="module")
def commands(everything):
    return {path: command for path, command in everything.items() if not isinstance(command, click.Group)}


def parameters(commands):
    return [(path, parameter) for path, command in commands.items() for parameter in command.params]


def test_every_command_of_the_contract_is_there(commands):
    names = {" ".join(path) for path in commands}
    assert {"keys generate", "keys list", "keys retire", "mail send", "mail show", "doctor", "db upgrade"} <= names
    assert {f"users {name}" for name in USER_COMMANDS} <= names


def test_every_group_has_a_description(everything):
    for path, command in everything.items():
        assert command.get_short_help_str(200).endswith("."), path


def test_every_command_is_explained(commands):
    for path, command in commands.items():
        first, _, rest = (command.help or "").partition("\n\n")
        assert first.endswith("."), path
        assert len(rest.split()) > 10, path


def test_every_command_documents_its_exit_status(commands):
    assert {path for path, command in commands.items() if "exit status" not in command.help.lower()} == set()


def test_every_option_and_argument_is_documented(commands):
    for path, parameter in parameters(commands):
        if isinstance(parameter, click.Option):
            assert parameter.help, (path, parameter.name)
        else:
            assert parameter.make_metavar(click.Context(commands[path])) in commands[path].help, (path, parameter.name)


def test_no_option_takes_a_secret(commands):
    for path, parameter in parameters(commands):
        assert not SECRET.search(parameter.name) or getattr(parameter, "is_flag", False), (path, parameter.name)
        assert not getattr(parameter, "hide_input", False), (path, parameter.name)


def test_commands_read_by_programs_print_json(commands):
    for path, command in commands.items():
        if path[-1] in READ_BY_PROGRAMS:
            assert "--json" in {option for parameter in command.params for option in parameter.opts}, path


def test_every_help_is_printed(app, everything):
    for path in everything:
        result = app.test_cli_runner().invoke(args=[*path, "--help"])
        assert (result.exit_code, "Usage:" in result.output, "\\b" in result.output) == (0, True, False), path


@pytest.mark.parametrize("arguments", [["mail", "show"], ["db", "upgrade"], ["users", "show", "ada"]])
def test_an_unavailable_database_ends_a_command_with_status_75(settings, arguments):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    app = create_app(replace(settings, mongo_uri=uri, database_timeout_ms=200))
    result = app.test_cli_runner().invoke(args=arguments)
    app.extensions["services"].database._database.client.close()
    assert result.exit_code == 75
    assert "The database is not available (unreachable). Try again later." in result.stderr


def test_only_json_is_printed_on_stdout(app):
    for arguments in (["mail", "show", "--json"], ["db", "upgrade", "--json"], ["doctor", "--json"], IMPORT):
        json.loads(app.test_cli_runner().invoke(args=arguments).stdout)
