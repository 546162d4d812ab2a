"""`script/check-enumeration`, as users run it, against the service as it is deployed."""

import runpy
import subprocess
import sys
import time

import pytest

from tests.factories import PASSWORD, fastapi_user
from tests.system.conftest import ROOT

SAMPLES = 20
FEW = 8
"""The fewest that the program compares the times of; enough for what is answered."""


@pytest.fixture
def check(gunicorn, mongo, mongo_uri, tmp_path):
    """Run the program against a service with these settings and accounts; return status and text."""

    def check(*arguments, samples=SAMPLES, verified=0, disabled=0, **settings):
        name = f"enumeration_{time.monotonic_ns()}"
        database = mongo[f"{mongo.get_default_database().name}_{name}"]
        limits = {"THROTTLE_MAIL_PER_ACCOUNT": "5 per hour", "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "10 per hour"}
        uri = mongo_uri.replace("?", f"_{name}?")
        try:
            with gunicorn(MONGO_URI=uri, **limits | settings) as url:
                for what, many in {"email_verified": verified, "disabled": disabled}.items():
                    accounts = [f"{what}-{number}@example.com" for number in range(many)]
                    for email in accounts:
                        database["users"].insert_one(fastapi_user(email=email, **{what: True}))
                    (tmp_path / what).write_text("".join(f"{email} {PASSWORD}\n" for email in accounts))
                program = [sys.executable, ROOT / "script/check-enumeration", url, "--samples", str(samples)]
                run = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=240)
        finally:
            mongo.drop_database(database.name)
        return run.returncode, run.stdout + run.stderr

    return check


def test_a_service_that_tells_nothing_passes(check):
    status, told = check(ENUMERATION_SAFE="true")
    assert status == 0, told
    assert told.endswith("All answers are alike.\n")
    assert told.count(f"{SAMPLES} times") == 4 + 4 + 2 + 2 + 2 + 2


def test_so_does_one_that_wants_addresses_verified_and_has_disabled_users(check, tmp_path):
    arguments = "--verified", str(tmp_path / "email_verified"), "--disabled", str(tmp_path / "disabled")
    many = {"verified": 2 * SAMPLES, "disabled": 2 * SAMPLES}
    status, told = check(*arguments, **many, ENUMERATION_SAFE="true", REQUIRE_VERIFIED_EMAIL="true")
    assert status == 0, told
    assert told.count(f"{SAMPLES} times") == 6 + 6 + 5 + 2 + 3 + 2


def test_what_an_ordinary_service_tells_is_found(check):
    status, told = check(samples=FEW, ENUMERATION_SAFE="false")
    assert status == 1, told
    assert "DIFFERS  sign-up: unverified is answered otherwise than unknown" in told
    assert "409" in told
    assert "DIFFERS  sign-up: unverified has other headers than unknown: location" in told
    assert "DIFFERS  change of address: unverified is answered otherwise than unknown" in told
    assert "DIFFERS  reset" not in told
    assert "DIFFERS  login" not in told


@pytest.mark.parametrize(
    ("theirs", "likely"),
    [  # by hand: the deviation of U is √(20·20·41/12) = 36.97, the correction for continuity 0.5
        (range(0, 40, 2), 1.0),  # U = 200, as expected of equals
        (range(11, 51, 2), 0.01058),  # U = 105, z = 94.5 / 36.97
        (range(41, 81, 2), 6.8e-8),  # U = 0, z = 199.5 / 36.97
    ],
)
def test_a_difference_in_time_is_found_by_the_ranks(theirs, likely):
    path = str(ROOT / "script/check-enumeration")
    rank_test = runpy.run_path(path)["rank_test"]
    ours = range(0, 40, 2)
    assert rank_test(ours, theirs) == rank_test(theirs, ours) == pytest.approx(likely, rel=0.01)


def test_what_cannot_be_checked_is_said(check):
    status, told = check(ENUMERATION_SAFE="true", THROTTLE_SIGNUP_PER_IP="20 per hour")
    assert status == 2, told
    assert "NOT CHECKED  sign-up" in told
    assert "the deployment's limits were reached" in told


def test_where_nobody_can_be_asked_for_a_change_of_address_it_is_said(check):
    status, told = check(samples=FEW, ENUMERATION_SAFE="true", REQUIRE_VERIFIED_EMAIL="true")
    assert status == 2, told
    assert "NOT CHECKED  change of address: it takes a login" in told


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "ftp://example.com"])
def test_what_is_no_deployment_is_said_in_a_line(url):
    run = subprocess.run([ROOT / "script/check-enumeration", url], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "does not answer as Pixora does" in run.stderr
    assert "Traceback" not in run.stderr
