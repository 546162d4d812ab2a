"""A database as the FastAPI service left it, and the commands of `pixora.upkeep` on it."""

import json

import pytest


@pytest.fixture
def indexed(session_app, users):
    """Have all indexes as they must be, whatever other tests have left."""
    database = session_app.extensions["services"].database
    for fault in database.index_faults():
        database.repair_index(fault)


@pytest.fixture
def old_users(indexed, dropped):
    """The collection `users` as the FastAPI service had it: without our indexes."""
    return dropped


@pytest.fixture
def run(make_app):
    """Run a command as the shell would, on the application's settings with some changed."""

    def run(*arguments, **settings):
        return make_app(**settings).test_cli_runner().invoke(args=arguments)

    return run


@pytest.fixture
def upgrade(run):
    """Run `db upgrade --json`; return its exit status and what it told."""

    def upgrade(**settings):
        result = run("db", "upgrade", "--json", **settings)
        assert not isinstance(result.exception, Exception), result.output
        return result.exit_code, json.loads(result.stdout)

    return upgrade
