"""The doctor: its findings, its exit status, and the command."""

import json
import os
import time

import pytest
from mongod import free_port

from pixora import clock
from pixora.upkeep.commands import app_with_doctor_only
from pixora.upkeep.doctor import Check, examine
from pixora.upkeep.findings import State, fault, ok
from tests.factories import fastapi_user

ALL = {
    *("environment", "secrets", "signing_key", "uri", "write_concern", "database", "version", "topology", "clock"),
    *("disk", "indexes", "addresses", "hashes", "erasures", "second_factors", "passkeys", "outbox", "smtp", "client"),
    "passkey_documents",
}


def test_a_healthy_service_has_no_fault(users, doctor):
    users.insert_many([fastapi_user(email="grace@example.com"), fastapi_user(email="ada@example.com")])
    status, found = doctor()
    assert status == 0
    assert set(found) == ALL
    assert found["addresses"] == [
        ("ok", "All 2 e-mail addresses are in canonical form, and each belongs to one user.", "")
    ]
    states = {name: state for name, [(state, _, _)] in found.items()}
    assert {name for name, state in states.items() if state != "ok"} == {
        *("environment", "topology", "smtp"),  # warnings: tests run with one member and without SMTP
        *("client", "passkey_documents"),  # without --url
    }


def test_findings_are_printed_with_advice(users, indexed, run):
    users.insert_one(fastapi_user())
    result = run("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "ok       database: The database answers." in lines
    [number] = [number for number, line in enumerate(lines) if line.startswith("fault ")]
    assert lines[number].startswith("fault    addresses: 1 of 1 e-mail addresses are not in canonical form")
    assert lines[number + 1] == "         → flask --app wsgi db upgrade"


def test_an_unreachable_database_is_found_and_skips_dependent_checks(doctor):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    status, found = doctor(MONGO_URI=uri, DATABASE_TIMEOUT_MS=200)
    assert status == 1
    assert found["database"][0][:2] == ("fault", "The database does not answer (unreachable).")
    assert found["indexes"] == [("unknown", "Could not be checked: see database.", "")]


def test_rejected_credentials_are_found_and_not_shown(run, settings):
    uri = settings.mongo_uri.replace("mongodb://", "mongodb://operator:hunter2@") + "&authSource=admin"
    result = run("doctor", MONGO_URI=uri)
    assert result.exit_code == 1
    assert "The database does not answer (unauthorized)" in result.stdout
    assert "hunter2" not in result.output
    assert "operator" not in result.output


def test_clocks_may_differ_by_the_leeway_of_tokens(doctor, move_clock):
    move_clock(seconds=clock.LEEWAY_SECONDS - 2)
    _, found = doctor()
    assert [state for state, _, _ in found["clock"]] == ["ok"]


@pytest.mark.parametrize("seconds", [-90, 90])
def test_different_clocks_are_found_and_what_they_break(fault_of, move_clock, seconds):
    move_clock(seconds=seconds)
    message = fault_of("clock")
    assert "90 seconds apart" in message
    assert "codes of authenticator apps may be refused" in message
    assert "NTP" in message


def test_a_configuration_with_which_nothing_starts_is_reported(shell):
    result = shell("--json", SECRET_KEY="hunter2", JWT_SECRET_KEY="hunter2hunter2")
    assert result.returncode == 1
    *findings, rest = json.loads(result.stdout)["checks"]
    for name, finding in zip(("JWT_SECRET_KEY", "SECRET_KEY"), findings, strict=True):
        assert finding["state"] == "fault"
        assert finding["message"].startswith(f"{name}: Must have at least 32 bytes. Make one with: ")
    assert rest["state"] == "unknown"
    assert "hunter2" not in result.stdout + result.stderr


def test_help_is_printed_without_a_valid_configuration():
    app = app_with_doctor_only("SECRET_KEY is weak.", {"SECRET_KEY": ["Is weak."]})
    result = app.test_cli_runner().invoke(args=["doctor", "--help"])
    assert result.exit_code == 0
    assert "Diagnose the configuration" in result.stdout


@pytest.mark.parametrize("arguments", [["users", "show", "doctor"], ["run"], ["no-such-command"]])
def test_no_other_command_runs_without_a_valid_configuration(shell, arguments):
    result = shell(command=arguments, SECRET_KEY="hunter2")
    assert (result.returncode, result.stdout) == (os.EX_CONFIG, "")
    assert "  SECRET_KEY: Must have at least 32 bytes." in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("url", ["auth.example.com", "ftp://auth.example.com", "https://auth.example.com/api"])
def test_a_malformed_url_is_refused(run, url):
    assert run("doctor", "--url", url).exit_code == 2


def test_a_check_that_fails_or_hangs_does_not_affect_the_others(app):
    def fails():
        raise RuntimeError("mongodb://user:hunter2@db")

    checks = {
        "slow": Check(lambda: time.sleep(2), 0.05),
        "broken": Check(fails),
        "faulty": Check(lambda: [fault("Bad.", "Mend it.")]),
        "later": Check(lambda: [ok("Good.")], after="faulty"),
        "last": Check(lambda: [ok("Good.")], after="slow"),
    }
    found = dict(examine(app, checks))
    assert [finding.state for finding in found.values()] == [
        *(State.UNKNOWN, State.UNKNOWN, State.FAULT, State.UNKNOWN, State.OK)
    ]
    assert "hunter2" not in str(found)
