"""`REQUIRED_FIELDS`: what it does not name may be missing wherever users are made, shown and changed."""

import json

import pytest

from pixora.importing.lines import Line
from pixora.importing.records import LineRefused, Reader
from tests.factories import ARGON2ID, PASSWORD, signup_body

ME = "/api/users/me"
FIELDS = "first_name", "last_name", "contact", "birthday"
BARE = {"email": "ada@example.com", "password": PASSWORD}


@pytest.fixture
def lax_app(make_app):
    """An application that requires none of them."""
    return make_app(required_fields=[])


@pytest.fixture
def lax(lax_app):
    return lax_app.test_client()


@pytest.fixture
def log_in_bare(lax):
    """Sign up without any of them, and return the header of a session."""

    def log_in(**changes):
        assert lax.post("/api/auth/signup", json=BARE | changes).status_code == 201
        form = {"username": BARE["email"], "password": PASSWORD}
        return {"Authorization": f"Bearer {lax.post('/api/auth/login', data=form).json['access_token']}"}

    return log_in


def schema_of(client, name):
    return client.get("/openapi.json").json["components"]["schemas"][name]


def test_email_and_password_are_enough_for_a_sign_up(log_in_bare, lax, users):
    profile = lax.get(ME, headers=log_in_bare()).json
    assert {name: profile[name] for name in FIELDS} == dict.fromkeys(FIELDS)
    assert list(profile)[:6] == ["id", "first_name", "last_name", "email", "contact", "birthday"]
    assert not set(users.find_one()) & set(FIELDS)


def test_null_in_a_sign_up_is_as_good_as_nothing(log_in_bare, lax, users):
    log_in_bare(**dict.fromkeys(FIELDS))
    assert not set(users.find_one()) & set(FIELDS)


def test_what_is_given_is_checked_and_stored_nevertheless(log_in_bare, lax, users):
    refused = lax.post("/api/auth/signup", json=BARE | {"birthday": "2999-01-01", "contact": "", "first_name": " "})
    assert (refused.status_code, set(refused.json["errors"])) == (422, {"birthday", "contact", "first_name"})
    profile = lax.get(ME, headers=log_in_bare(**{name: signup_body()[name] for name in FIELDS})).json
    assert {name: profile[name] for name in FIELDS} == {name: signup_body()[name] for name in FIELDS}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_is_required_where_the_setting_names_it_alone(make_app, users, field):
    client = make_app(required_fields=[field]).test_client()
    refused = client.post("/api/auth/signup", json=BARE)
    assert refused.json["errors"] == {field: ["Missing data for required field."]}
    refused = client.post("/api/auth/signup", json=BARE | {field: None})
    assert refused.json["errors"] == {field: ["Field may not be null."]}
    assert client.post("/api/auth/signup", json=BARE | {field: signup_body()[field]}).status_code == 201


@pytest.mark.parametrize("field", FIELDS)
def test_null_removes_a_field_that_is_not_required(log_in_bare, lax, users, field):
    bearer = log_in_bare(**{name: signup_body()[name] for name in FIELDS})
    before = lax.get(ME, headers=bearer)
    changed = lax.patch(ME, json={field: None}, headers=bearer | {"If-Match": before.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.json == before.json | {field: None, "updated_at": changed.json["updated_at"]}
    assert changed.headers["ETag"] != before.headers["ETag"]
    assert field not in users.find_one()


@pytest.mark.parametrize("field", FIELDS)
def test_null_is_refused_for_a_field_that_is_required(client, account, field):
    refused = client.patch(ME, json={field: None}, headers=account.bearer)
    assert (refused.status_code, refused.json["errors"]) == (422, {field: ["Field may not be null."]})


def test_an_export_has_null_for_what_is_missing(log_in_bare, lax):
    profile = lax.get(f"{ME}/export", headers=log_in_bare()).json["profile"]
    assert {name: profile[name] for name in FIELDS} == dict.fromkeys(FIELDS)


def test_a_user_without_a_name_can_change_and_reset_the_password(log_in_bare, lax, lax_app, users, emails_to):
    bearer = log_in_bare()
    body = {"current_password": PASSWORD, "new_password": "analytical-engine-no-1"}
    assert lax.post(f"{ME}/password", json=body, headers=bearer).status_code == 204
    assert lax.post("/api/auth/password-reset", json={"email": BARE["email"]}).status_code == 202
    refused = lax.post(f"{ME}/password", json={**body, "current_password": "ada@example.com-1"}, headers=bearer)
    assert refused.status_code == 403


def test_the_email_alone_still_makes_a_password_weak(lax, users):
    refused = lax.post("/api/auth/signup", json={"email": "zyrtquavist@example.com", "password": "zyrtquavist2026"})
    assert (refused.status_code, set(refused.json["errors"])) == (422, {"password"})


def test_an_import_needs_no_more_than_a_sign_up(lax_app, app):
    data = json.dumps({"email": "ada@example.com", "password_hash": ARGON2ID, "last_name": None}).encode()
    line = Line(1, data, len(data), is_cut_off=False)
    with lax_app.app_context():
        user = Reader("s" * 40).read(line)
    assert set(user) == {"_id", "email", "password", "created_at", "updated_at", "email_verified", "roles"}
    with app.app_context(), pytest.raises(LineRefused) as caught:
        Reader("s" * 40).read(line)
    assert set(caught.value.errors) == set(FIELDS)


def test_the_command_creates_a_user_with_an_email_alone(lax_app, app, users):
    arguments = ["users", "create", "--email", "ada@example.com"]
    assert lax_app.test_cli_runner().invoke(args=arguments, input=PASSWORD).exit_code == 0
    shown = lax_app.test_cli_runner().invoke(args=["users", "show", "ada@example.com", "--json"])
    assert json.loads(shown.stdout)["first_name"] is None
    refused = app.test_cli_runner().invoke(args=["users", "create", "--email", "b@example.com"], input=PASSWORD)
    assert refused.exit_code == 2
    assert "Missing option '--first-name'." in refused.stderr


@pytest.mark.parametrize("way", [{"password": PASSWORD}, {"invite": True}])
def test_administrators_make_users_with_an_email_alone(log_in_bare, lax, users, way):
    bearer = log_in_bare()
    users.update_one({}, {"$set": {"roles": ["user", "admin"]}})
    made = lax.post("/api/admin/users", json={"email": "mary@example.com"} | way, headers=bearer)
    assert made.status_code == 201
    assert {name: made.json[name] for name in FIELDS} == dict.fromkeys(FIELDS)


def test_the_openapi_document_follows_the_setting(client, lax, make_app):
    strict, loose = schema_of(client, "Signup"), schema_of(lax, "Signup")
    assert strict["required"] == ["birthday", "contact", "email", "first_name", "last_name", "password"]
    assert loose["required"] == ["email", "password"]
    assert {strict["properties"][name]["type"] for name in FIELDS} == {"string"}
    nullable = ["string", "null"]
    some = make_app(required_fields=["contact"]).test_client()
    assert schema_of(some, "Signup")["required"] == ["contact", "email", "password"]
    for name in ("Signup", "Profile", "ProfileChanges"):
        assert [schema_of(lax, name)["properties"][field]["type"] for field in FIELDS] == [nullable] * 4
        types = [schema_of(some, name)["properties"][field]["type"] for field in FIELDS]
        assert types == [nullable, nullable, "string", nullable]
    assert set(FIELDS) <= set(schema_of(lax, "Profile")["required"])
    assert schema_of(client, "Signup") == strict  # each application has a document of its own
