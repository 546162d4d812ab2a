"""A database of the FastAPI service, and commands to run on it."""

import json

import pytest


@pytest.fixture
def indexed(session_app, users):
    """Repair all indexes, whatever other tests have left."""
    database = session_app.extensions["services"].database
    for fault in database.index_faults():
        database.repair_index(fault)


@pytest.fixture
def old_users(indexed, dropped):
    """The collection `users` of the FastAPI service, without indexes."""
    return dropped


@pytest.fixture
def run(make_app):
    """Run a command with some settings changed."""

    def run(*arguments, **settings):
        return make_app(**settings).test_cli_runner().invoke(args=arguments)

    return run


@pytest.fixture
def upgrade(run):
    """Run `db upgrade --json`; return the exit status and the report."""

    def upgrade(**settings):
        result = run("db", "upgrade", "--json", **settings)
        assert not isinstance(result.exception, Exception), result.output
        return result.exit_code, json.loads(result.stdout)

    return upgrade
