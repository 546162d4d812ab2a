"""`keys data`, and the doctor's check of the secrets of second factors."""

import json
import os
import secrets
import subprocess
import sys

import pyotp
import pytest
from cryptography.fernet import Fernet

from pixora.factors.encryption import decrypt, encrypt, name_of
from pixora.upkeep.data_keys import second_factors
from tests import ROOT
from tests.factories import PASSWORD, fastapi_user

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))
SECRET = b"0123456789abcdefghij"


@pytest.fixture
def store(users, indexed):
    """Store users whose secret is encrypted under a key; return their ids."""

    def store(number, key):
        made = [fastapi_user(email=f"{key[:5]}{count}@example.com") for count in range(number)]
        for user in made:
            data, name = encrypt([key], user["_id"], SECRET)
            user["factors"] = {"totp": {"id": user["_id"], "secret": data, "key": name, "last_step": 0}}
        users.insert_many(made)
        return [user["_id"] for user in made]

    return store


def rotate(run, *data_keys):
    return run("keys", "data", "rotate", DATA_KEYS=list(data_keys))


def test_all_secrets_are_encrypted_under_the_first_key_and_stay_the_same(run, store, users):
    ids = store(1_200, OLD)
    result = rotate(run, NEW, OLD)
    assert (result.exit_code, result.stdout) == (0, f"Encrypted 1,200 secrets under the key {name_of(NEW)}.\n")
    assert users.count_documents({"factors.totp.key": name_of(NEW)}) == 1_200
    for user in users.find({"_id": {"$in": ids[::100]}}):
        assert decrypt([NEW], user["_id"], user["factors"]["totp"]["secret"]) == SECRET


def test_a_repeated_rotation_changes_nothing(run, store, users):
    store(2, OLD)
    rotate(run, NEW, OLD)
    before = list(users.find())
    assert rotate(run, NEW, OLD).stdout == f"Encrypted 0 secrets under the key {name_of(NEW)}.\n"
    assert list(users.find()) == before


def test_secrets_under_a_lost_key_stay_and_are_reported(run, store, users):
    store(2, OLD)
    [lost] = store(1, LOST)
    before = users.find_one({"_id": lost})
    result = rotate(run, NEW, OLD)
    assert result.exit_code == 1
    assert "1 secrets cannot be decrypted" in result.stderr
    assert users.find_one({"_id": lost}) == before
    assert users.count_documents({"factors.totp.key": name_of(NEW)}) == 2


def test_a_user_who_enrols_anew_meanwhile_keeps_the_new_secret(run, store, users, before_a_write):
    [user_id] = store(1, OLD)
    anew = {"$set": {"factors.totp.id": "anew", "factors.totp.secret": b"another"}}
    before_a_write("users", lambda: users.update_one({"_id": user_id}, anew))
    assert rotate(run, NEW, OLD).stdout == f"Encrypted 0 secrets under the key {name_of(NEW)}.\n"
    assert users.find_one({"_id": user_id})["factors"]["totp"]["secret"] == b"another"


def test_a_rotation_is_audited_without_the_keys(run, store, trail):
    store(2, OLD)
    rotate(run, NEW, OLD)
    [row] = trail.find({"event": "data_keys_rotated"})
    assert (row["by"], row["details"]) == ("command", {"key": name_of(NEW), "number": 2})


def test_without_data_keys_there_is_nothing_to_rotate(run, users):
    result = rotate(run)
    assert (result.exit_code, result.stderr) == (1, "Error: DATA_KEYS is not set.\n")


def test_the_keys_are_listed_with_their_uses_and_missing_ones(run, store):
    store(2, OLD)
    store(1, LOST)
    result = run("keys", "data", "list", "--json", DATA_KEYS=[NEW, OLD])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {"key": name_of(NEW), "use": "encrypt", "secrets": 0},
        {"key": name_of(OLD), "use": "decrypt", "secrets": 2},
        {"key": name_of(LOST), "use": "missing", "secrets": 1},
    ]
    for key in (OLD, NEW, LOST):
        assert key not in result.output


def test_when_no_key_is_missing_the_list_exits_with_0(run, store):
    store(2, OLD)
    result = run("keys", "data", "list", DATA_KEYS=[OLD])
    assert (result.exit_code, result.stdout) == (0, f"{name_of(OLD)}  encrypt  2\n")


@pytest.fixture
def start(settings):
    """Start as gunicorn's master does in production, with some settings; return the exit status and stderr."""

    def start(*command, **changes):
        environment = {
            "PATH": os.environ["PATH"],
            "MONGO_URI": settings.mongo_uri,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        }
        program = [sys.executable, *(command or ("-c", "import wsgi; wsgi.require_data_keys()"))]
        run = subprocess.run(program, cwd=ROOT, env=environment | changes, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stderr

    return start


def test_once_somebody_has_a_factor_production_does_not_start_without_data_keys(start, store):
    assert start() == (0, "")
    store(2, OLD)
    status, told = start()
    assert status == os.EX_CONFIG
    assert told.startswith("Pixora cannot start: 2 users have a second factor, and DATA_KEYS is not set.")
    assert start(PIXORA_ENV="development") == (0, "")


def test_production_starts_without_one_of_the_keys_whose_users_have_recovery_codes(start, store):
    store(2, OLD)
    assert start(DATA_KEYS=NEW) == (0, "")


def test_gunicorn_says_so_once_and_ends(start, store):
    store(2, OLD)
    status, told = start("-m", "gunicorn", "--bind", "127.0.0.1:0", "wsgi:app")
    assert status == os.EX_CONFIG
    assert told.count("Pixora cannot start") == 1
    assert "Traceback" not in told


def test_without_its_database_it_starts(start):
    status, _ = start(MONGO_URI="mongodb://127.0.0.1:1/pixora", DATABASE_TIMEOUT_MS="500")
    assert status == 0


@pytest.fixture
def findings(make_app):
    """Return what the doctor finds: the states and the messages."""

    def findings(*data_keys):
        app = make_app(DATA_KEYS=list(data_keys))
        with app.app_context():
            return [(found.state.value, found.message) for found in second_factors(app.extensions["services"])]

    return findings


def test_the_doctor_finds_all_in_order(findings, store):
    store(2, NEW)
    assert findings(NEW) == [("ok", "All 2 secrets of second factors are under the first of DATA_KEYS.")]


def test_the_doctor_advises_to_rotate(findings, store):
    store(2, OLD)
    [(state, message)] = findings(NEW, OLD)
    assert state == "warning"
    assert f"key {name_of(OLD)}: 2" in message


def test_the_doctor_finds_what_cannot_be_read(findings, store, users):
    store(1, LOST)
    broken, _ = store(2, NEW)
    users.update_one({"_id": broken}, {"$set": {"factors.totp.secret": b"damaged"}})
    [(state, message)] = findings(NEW)
    assert state == "fault"
    assert message.startswith("2 of 3 secrets of second factors cannot be decrypted")


def test_without_keys_and_factors_the_doctor_is_content(findings, users):
    assert findings() == [("ok", "DATA_KEYS is not set: nobody can set up a second factor.")]


def test_without_keys_but_with_factors_it_is_not(findings, store):
    store(1, OLD)
    assert [state for state, _ in findings()] == ["fault"]


def test_the_metrics_count_the_secrets_by_key(make_app, store):
    store(2, OLD)
    store(1, LOST)
    text = make_app(DATA_KEYS=[NEW, OLD]).test_client().get("/metrics").text
    assert f'pixora_second_factors{{key="{name_of(NEW)}",readable="yes"}} 0.0' in text
    assert f'pixora_second_factors{{key="{name_of(OLD)}",readable="yes"}} 2.0' in text
    assert f'pixora_second_factors{{key="{name_of(LOST)}",readable="no"}} 1.0' in text


def test_after_a_rotation_the_old_key_is_not_needed(make_app, run, store, users):
    [user_id] = store(1, OLD)
    email = users.find_one({"_id": user_id})["email"]
    code = pyotp.TOTP("GAYTEMZUGU3DOOBZMFRGGZDFMZTWQ2LK")

    def log_in(*data_keys):
        fields = {"username": email, "password": PASSWORD, "otp": code.now()}
        return make_app(DATA_KEYS=list(data_keys)).test_client().post("/api/auth/login", data=fields).status_code

    rotate(run, NEW, OLD)
    assert log_in(NEW) == 200
