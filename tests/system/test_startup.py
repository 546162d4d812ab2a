"""What gunicorn and its workers import: no more than they use, for a fast start and little memory."""

import json
import os
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from tests import ROOT
from tests.system.client import Client

PASSKEYS = {"fido2", "pixora.passkeys.ceremonies", "pixora.passkeys.routes", "pixora.system.passkey_documents"}
FACTORS = {"segno", "pixora.factors.management", "pixora.factors.routes"}
COMMANDS = {
    "pixora.admin.commands",
    "pixora.importing.commands",
    "pixora.mail.commands",
    "pixora.upkeep.commands",
    "pixora.upkeep.doctor",
}
DEVELOPMENT = {"pixora.development.pages", "pixora.mail.listing"}


def process(gunicorn, **settings):
    """Return what a worker says of itself once it serves."""
    with gunicorn(application="tests.system.imports:app", **settings) as url:
        return Client(url).get("/imports").json


@pytest.fixture(scope="module")
def plain(gunicorn):
    """A worker without optional settings."""
    return process(gunicorn)


def test_a_worker_imports_no_command_and_no_feature_that_is_not_configured(plain):
    assert not (PASSKEYS | FACTORS | COMMANDS | DEVELOPMENT) & set(plain["modules"])


def test_a_worker_imports_what_is_configured(gunicorn):
    settings = {"WEBAUTHN_ORIGINS": "http://localhost:3000", "WEBAUTHN_RP_ID": "localhost"}
    modules = set(process(gunicorn, DATA_KEYS=Fernet.generate_key().decode(), **settings)["modules"])
    assert modules >= PASSKEYS | FACTORS
    assert not COMMANDS & modules


def test_a_command_imports_all_commands():
    run = imported("wsgi.app.test_cli_runner().invoke(args=['--help'])")
    assert run >= COMMANDS


def test_a_worker_collects_garbage_once_it_serves_and_leaves_what_it_has_imported_alone(plain):
    assert plain["collects"]
    assert plain["frozen"] > 50_000


def test_the_master_imports_neither_the_application_nor_what_is_for_pyopenssl():
    assert not {"pixora", "flask", "cryptography.x509"} & imported("", "config")


def imported(program, module="wsgi"):
    """Return what a process has imported after this program."""
    environment = os.environ | {
        "PIXORA_ENV": "testing",
        "MONGO_URI": "mongodb://127.0.0.1:1/pixora",
        "SECRET_KEY": "a secret for tests only, of more than 32 bytes",
        "JWT_SECRET_KEY": "another secret for tests only, of more than 32 bytes",
    }
    program = f"import json, sys, {module}\n{program}\nprint(json.dumps([*sys.modules]))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    return set(json.loads(run.stdout))
