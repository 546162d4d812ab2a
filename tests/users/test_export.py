import json

import pytest

from pixora.accounts.audit import COMMAND
from pixora.services import services
from tests.factories import PASSWORD, fastapi_user, log_in
from tests.passkeys.authenticator import Authenticator

EXPORT = "/api/users/me/export"

# Where everything that we store is found again; what is secret is nowhere.
EXPORTED = {
    "_id": "profile.id",
    **{name: f"profile.{name}" for name in ("first_name", "last_name", "email", "contact", "birthday")},
    **{name: f"profile.{name}" for name in ("created_at", "updated_at", "email_verified", "roles")},
    **{name: f"profile.{name}" for name in ("metadata", "app_metadata")},
    **dict.fromkeys(("metadata_size", "app_metadata_size")),
    "password": None,
    **{f"sessions.{name}": f"sessions.{name}" for name in ("id", "created_at", "last_used_at", "user_agent")},
    **{f"sessions.{name}": f"sessions.{name}" for name in ("generation", "client_id", "auth_time", "acr", "amr")},
    **dict.fromkeys(("sessions.salt", "sessions.answered", "sessions.repeats")),
    **{f"tokens.{name}": f"pending.{name}" for name in ("email", "expires_at")},
    "tokens.hash": None,
    **{f"letters.{name}": f"letters.{name}" for name in ("id", "template", "to", "context")},
    **{f"letters.{name}": f"letters.{name}" for name in ("created_at", "due_at", "attempts")},
    "letters.token": None,
    **{
        f"passkeys.{name}": f"passkeys.{name}"
        for name in ("id", "name", "credential_id", "public_key", "sign_count", "transports", "aaguid", "rp_id")
    },
    **{
        f"passkeys.{name}": f"passkeys.{name}"
        for name in ("backup_eligible", "backed_up", "created_at", "last_used_at")
    },
    **dict.fromkeys(("passkey_challenges.nonce", "passkey_challenges.expires_at")),
    **{f"events.{name}": f"events.{name}" for name in ("event", "at", "network", "request_id", "by", "details")},
}


@pytest.fixture
def eventful(app, client, account, users):
    """Ada has sessions, letters and tokens of every kind."""
    form = {"grant_type": "password", "username": account.email, "password": PASSWORD, "client_id": "web"}
    client.post("/api/auth/token", data=form)
    client.post("/api/auth/refresh", data={"grant_type": "refresh_token", "refresh_token": account.refresh_token})
    client.post("/api/auth/password-reset", json={"email": account.email})
    client.patch("/api/users/me", json={"metadata": {"theme": "dark"}}, headers=account.bearer)
    users.update_one({"_id": account.id}, {"$set": {"app_metadata": {"plan": "gold"}, "app_metadata_size": 15}})
    options = client.post("/api/users/me/passkeys/options", headers=account.bearer).json
    authenticator = Authenticator()
    credential = authenticator.create(options)
    client.post("/api/users/me/passkeys", json={"credential": credential}, headers=account.bearer)
    options = client.post("/api/auth/reauthenticate/options", headers=account.bearer).json
    body = {"credential": authenticator.get(options)}
    grant = client.post("/api/auth/reauthenticate", json=body, headers=account.bearer).json
    account = account._replace(token=grant["access_token"])
    body = {"email": "new@example.com", "password": PASSWORD}
    client.post("/api/users/me/email", json=body, headers=account.bearer)  # after the passkey, which would end it
    with app.test_request_context():
        services.audit.record("user_enabled", account.id, by=COMMAND)
    return account


def names(document):
    """The names of all fields, those of lists and of tokens by what they have in common."""
    for name, value in document.items():
        if name == "events":
            yield from (f"{name}.{inner}" for one in value["items"] for inner in one)
        elif name == "tokens":
            yield from (f"{name}.{inner}" for record in value.values() for inner in record)
        elif name in ("sessions", "letters", "pending", "passkeys", "passkey_challenges"):
            yield from (f"{name}.{inner}" for one in value for inner in one)
        elif name == "profile":
            yield from (f"{name}.{inner}" for inner in value)
        else:
            yield name


def test_everything_stored_is_exported_or_declared_secret(client, eventful, users, mongo):
    events = {"items": list(mongo.get_default_database()["audit"].find({}, {"_id": 0, "user_id": 0}))}
    assert set(names(users.find_one() | {"events": events})) == set(EXPORTED)
    exported = set(names(client.get(EXPORT, headers=eventful.bearer).json))
    assert exported >= {place for place in EXPORTED.values() if place}


def test_an_export_has_no_secret(client, eventful, users):
    text = client.get(EXPORT, headers=eventful.bearer).text
    user = users.find_one()
    secrets = [session["salt"] for session in user["sessions"]]
    secrets += [token["hash"] for token in user["tokens"].values()]
    for secret in secrets:
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text
    for secret in (user["password"], *(letter["token"].decode() for letter in user["letters"] if "token" in letter)):
        assert secret not in text


def test_an_export_is_a_file_of_json(client, eventful):
    response = client.get(EXPORT, headers=eventful.bearer)
    assert response.content_type == "application/json"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="pixora-2')
    assert response.headers["Content-Disposition"].endswith('.json"')
    assert response.headers["Cache-Control"] == "no-store"
    assert set(json.loads(response.data)) == {
        *("exported_at", "profile", "sessions", "pending", "letters", "passkeys", "factors", "events")
    }


def test_the_profile_in_it_is_the_profile(client, eventful):
    exported = client.get(EXPORT, headers=eventful.bearer).json
    assert exported["profile"] == client.get("/api/users/me", headers=eventful.bearer).json
    assert len(exported["sessions"]) == 2
    assert {one["purpose"]: one.get("email") for one in exported["pending"]} == {
        "verify_email": None,
        "reset_password": None,
        "change_email": "new@example.com",
    }


def test_an_export_has_no_emails_to_others(client, eventful):
    letters = client.get(EXPORT, headers=eventful.bearer).json["letters"]
    assert [letter["template"] for letter in letters] == ["verify_email", "reset_password", "email_changing"]
    assert {letter["to"] for letter in letters} == {eventful.email}


def test_a_user_of_the_fastapi_service_has_an_export(client, users):
    user = fastapi_user()
    users.insert_one(user)
    login = log_in(client, user["email"]).json
    response = client.get(EXPORT, headers={"Authorization": f"Bearer {login['access_token']}"})
    assert response.status_code == 200
    assert response.json["profile"]["contact"] == "ring the Navy, ext. 7"
    assert len(response.json["sessions"]) == 1
    assert response.json["pending"] == response.json["letters"] == []
