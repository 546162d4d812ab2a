"""What production needs to start, and how a program reports what is missing."""

import os
import subprocess
import sys

import pytest

from tests import ROOT
from tests.configuration.conftest import GOOD, LETTERS


def test_production_is_the_default_and_starts_with_a_database_and_strong_secrets(load):
    settings = load(**GOOD)
    assert settings.pixora_env == "production"
    assert settings.testing is False
    assert settings.jwt_access_token_expires == 900
    assert settings.bcrypt_rounds == 12
    assert settings.max_content_length == 16384
    assert settings.gunicorn_threads == 64
    assert settings.throttle_login_per_account_and_ip == "10 per 15 minute"
    assert settings.throttle_login_per_account == "100 per hour"
    assert settings.throttle_login_per_ip == "60 per 15 minute"
    assert settings.throttle_signup_per_ip == "20 per hour"
    assert settings.throttle_mail_per_account == "5 per hour"
    assert settings.require_verified_email is settings.enumeration_safe is False
    assert settings.trusted_hosts is None
    assert settings.cors_origins == []


def test_production_names_each_setting_that_is_missing(faults):
    assert set(faults()) == {"MONGO_URI", "SECRET_KEY", "JWT_SECRET_KEY"}


def test_in_production_letters_need_a_sender_and_a_place_for_their_links(faults):
    assert set(faults(**GOOD, SMTP_URL="smtp://mail.example.com")) == set(LETTERS)


def test_in_development_they_do_not(load):
    assert load(**GOOD, SMTP_URL="smtp://localhost:1025", PIXORA_ENV="development").mail_from is None


def test_every_fault_is_named_at_once(faults):
    assert set(faults(BCRYPT_ROUNDS="x", PROXY_COUNT="y", MONGO_URI="z")) == {
        *("BCRYPT_ROUNDS", "PROXY_COUNT", "MONGO_URI", "SECRET_KEY", "JWT_SECRET_KEY")
    }


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import wsgi"],
        ["-m", "flask", "--app", "wsgi", "routes"],
        ["-m", "gunicorn", "--bind", "127.0.0.1:0", "wsgi:app"],
    ],
)
def test_a_program_ends_with_the_faults_and_without_a_traceback(command):
    environment = {"SECRET_KEY": "hunter2", "BCRYPT_ROUNDS": "2", "PATH": "/usr/bin:/bin"}
    run = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
    )
    assert run.returncode == os.EX_CONFIG
    told = run.stdout + run.stderr
    assert "Traceback" not in told
    assert "hunter2" not in told
    for name in ("MONGO_URI", "SECRET_KEY", "JWT_SECRET_KEY", "BCRYPT_ROUNDS"):
        assert told.count(f"  {name}: ") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import wsgi"],
        ["-m", "flask", "--app", "wsgi", "doctor"],
        ["-m", "gunicorn", "--bind", "127.0.0.1:0", "wsgi:app"],
    ],
)
def test_hosts_that_cannot_be_looked_up_end_a_program_with_a_sentence_and_a_status_to_try_again(command):
    environment = GOOD | {"PATH": "/usr/bin:/bin", "MONGO_URI": "mongodb+srv://db.invalid/pixora?connectTimeoutMS=500"}
    run = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == os.EX_TEMPFAIL
    told = run.stdout + run.stderr
    assert "Traceback" not in told
    assert told.count("MONGO_URI") == 1


@pytest.mark.parametrize("command", [["-c", "import wsgi"], ["-m", "gunicorn", "--bind", "127.0.0.1:0", "wsgi:app"]])
@pytest.mark.parametrize(("name", "file"), [("JWT_KEY_DIR", "a.pem"), ("MAIL_TEMPLATES", "a.txt")])
def test_a_faulty_file_is_named_with_the_setting_of_its_directory(tmp_path, command, name, file):
    (tmp_path / file).write_text("no key and no template")
    environment = GOOD | {"PATH": "/usr/bin:/bin", name: str(tmp_path)}
    if name == "JWT_KEY_DIR":
        del environment["JWT_SECRET_KEY"]
    run = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == os.EX_CONFIG
    assert f"Pixora cannot start: {name}: " in run.stderr
    assert file in run.stderr
    assert "Traceback" not in run.stderr
