"""A database of the FastAPI service, and commands to run on it."""

import json
import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from pixora.accounts import bulk
from tests import ROOT


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


@pytest.fixture
def doctor(run, indexed):
    """Run `doctor --json`; return the exit status and the findings by check, as `(state, message, advice)`."""

    def doctor(*arguments, **changes):
        result = run("doctor", "--json", *arguments, **changes)
        assert not isinstance(result.exception, Exception), result.output
        report = json.loads(result.stdout)
        assert report["healthy"] == (result.exit_code == 0)
        found = {}
        for one in report["checks"]:
            found.setdefault(one["check"], []).append((one["state"], one["message"], one["advice"]))
        return result.exit_code, found

    return doctor


@pytest.fixture
def fault_of(doctor):
    """Run the doctor; return message and advice of its only fault, which must be of this check."""

    def fault_of(name, **changes):
        status, found = doctor(**changes)
        faulty = {check for check, findings in found.items() for finding in findings if finding[0] == "fault"}
        assert (status, faulty) == (1, {name})
        [(_, message, advice)] = [finding for finding in found[name] if finding[0] == "fault"]
        assert advice
        return f"{message} → {advice}"

    return fault_of


@pytest.fixture
def shell(settings):
    """Run the doctor, or another command, as a shell does, in production with some of the environment changed."""

    def shell(*arguments, command=("doctor",), **changes):
        environment = {
            "PATH": os.environ["PATH"],
            "MONGO_URI": settings.mongo_uri,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "BCRYPT_ROUNDS": "10",
        }
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *command, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment | changes, capture_output=True, text=True, timeout=60)

    return shell


CLASSIC = datetime(2023, 5, 17, 8, 30, 0, 123000, tzinfo=UTC)


def emails(users):
    return {user["email"] for user in users.find()}


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 3)
