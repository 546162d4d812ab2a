"""Exports of other services, converted and imported by the commands of docs/moving.md.

The files in `exports` are made by hand, after the documentation that the page names; all passwords are `PASSWORD`.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.documents import blocks
from tests.factories import PASSWORD, log_in

EXPORTS = Path(__file__).parent / "exports"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
NEW_PASSWORD = "analytical-engine-no-1"

FIELDS = "first_name", "last_name", "contact", "email_verified", "locale", "disabled", "metadata", "app_metadata"
MOVED = json.loads((EXPORTS / "moved.json").read_text())
"""What is stored of whom, by service and name."""

KEEP_PASSWORD = {
    "auth0": {"ada", "grace"},
    "supabase": {"ada", "grace"},
    "keycloak": {"ada", "grace", "emmy"},
    "firebase": set(),
}


def documented(part):
    """Return the command of the page that has this part."""
    [block] = [block for block in blocks("sh") if block.page == "moving.md" and part in block.text]
    return block.text


@pytest.fixture
def app(make_app):
    """A service that asks for what every export has."""
    return make_app(required_fields=[])


@pytest.fixture
def move(app, users, tmp_path, monkeypatch):
    """Convert and import the export of a service by the commands of the page; return the users by name."""
    monkeypatch.chdir(tmp_path)

    def move(service):
        for file in EXPORTS.glob(f"{service}*"):
            shutil.copy(file, tmp_path)
        [part] = {f'open("{file.name}")' for file in EXPORTS.glob(f"{service}*") if "passwords" not in file.name}
        command = ["bash", "-euc", documented(part)]
        converted = subprocess.run(command, cwd=tmp_path, env={"PATH": PATH}, capture_output=True, text=True)
        assert (converted.returncode, converted.stderr) == (0, "")
        _, _, _, *arguments = shlex.split(documented("users import"))
        imported = app.test_cli_runner().invoke(args=arguments)
        assert imported.exit_code == 0, imported.output + (tmp_path / "rejects.jsonl").read_text()
        return {user["email"].removesuffix("@example.com"): user for user in users.find()}

    return move


def who_logs_in(app, names):
    return {name for name in names if log_in(app.test_client(), f"{name}@example.com").status_code == 200}


@pytest.mark.parametrize("service", MOVED)
def test_users_keep_what_the_export_has_and_log_in_with_their_passwords(app, users, move, service):
    moved = move(service)
    told = {name: {field: user[field] for field in FIELDS if field in user} for name, user in moved.items()}
    assert told == MOVED[service]
    assert all(user["created_at"] < datetime(2025, 1, 1, tzinfo=UTC) for user in users.find())
    assert {name for name, user in moved.items() if "password" in user} == KEEP_PASSWORD[service]
    disabled = {name for name, user in moved.items() if user.get("disabled")}
    assert who_logs_in(app, moved) == KEEP_PASSWORD[service] - disabled
    users.update_many({}, {"$unset": {"disabled": True}})
    assert who_logs_in(app, moved) == KEEP_PASSWORD[service]


@pytest.mark.parametrize("way", ["forgot password", "invitation"])
def test_users_of_firebase_choose_a_new_password_by_a_link(app, move, token_sent, way):
    client, email = app.test_client(), "mary@example.com"
    move("firebase")
    app.test_cli_runner().invoke(args=["users", "enable", email])
    if way == "invitation":
        _, _, _, *arguments = shlex.split(documented("users invite"))
        assert app.test_cli_runner().invoke(args=arguments).exit_code == 0
        path, token = "/api/auth/invitation/confirm", token_sent(email, "invitation")
    else:
        assert client.post("/api/auth/password-reset", json={"email": email}).status_code == 202
        path, token = "/api/auth/password-reset/confirm", token_sent(email, "reset_password")
    assert client.post(path, json={"token": token, "new_password": NEW_PASSWORD}).status_code == 204
    assert log_in(client, email, NEW_PASSWORD).status_code == 200
    assert log_in(client, email, PASSWORD).status_code == 401


def test_a_later_export_adds_those_who_have_signed_up_since(move, users):
    move("firebase")
    users.delete_one({"email": "ada@example.com"})
    before = users.find_one()
    assert set(move("firebase")) == {"ada", "mary"}
    assert users.find_one({"_id": before["_id"]}) == before
