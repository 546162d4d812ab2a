import pytest

from pixora.accounts.users import UserStore


def test_me_is_exactly_the_profile(client, account):
    response = client.get("/api/users/me", headers=account.bearer)
    assert response.status_code == 200
    profile = response.json
    assert profile.pop("created_at") == profile.pop("updated_at")
    assert profile == {
        "id": account.id,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@example.com",
        "contact": "+442079460958",
        "birthday": "1990-12-10",
        "email_verified": False,
        "roles": ["user"],
    }


def test_me_takes_one_database_operation(client, account, watch_commands):
    with watch_commands() as commands:
        client.get("/api/users/me", headers=account.bearer)
    assert [command.command_name for command in commands] == ["find"]


def test_nothing_secret_is_read_for_a_profile(client, account, watch_commands):
    with watch_commands() as commands:
        client.get("/api/users/me", headers=account.bearer)
    projection = dict(commands[0].command["projection"])
    assert projection.pop("sessions").keys() == {"$elemMatch"}  # only one's own
    assert set(projection.values()) == {0}
    assert projection.keys() >= {"password", "tokens", "letters", "factors.pending_totp"}


def test_ones_own_profile_is_found_by_id(client, account):
    response = client.get(f"/api/users/{account.id}", headers=account.bearer)
    assert response.status_code == 200
    assert response.json == client.get("/api/users/me", headers=account.bearer).json


def test_the_profile_of_another_user_is_forbidden(client, account, other_account):
    response = client.get(f"/api/users/{other_account.id}", headers=account.bearer)
    assert response.status_code == 403
    assert response.json["code"] == "forbidden"


@pytest.mark.parametrize(
    "user_id",
    ["6924a1e0c3f1a2b4d5e6f708", "0" * 24, "x", "me%00", "%24ne", '{"$ne":null}', "..%2e", "%F0%9F%A6%8A", "x" * 2000],
)
def test_every_other_id_is_forbidden_whatever_its_form(client, account, user_id):
    response = client.get(f"/api/users/{user_id}", headers=account.bearer)
    assert response.status_code == 403
    assert response.json["code"] == "forbidden"


@pytest.mark.parametrize("path", ["/api/users/me", "/api/users/6924a1e0c3f1a2b4d5e6f708"])
def test_a_profile_needs_a_token(client, path):
    response = client.get(path)
    assert response.status_code == 401
    assert response.json["code"] == "missing_token"
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_the_token_of_a_deleted_user_is_refused(client, account, users):
    assert client.get("/api/users/me", headers=account.bearer).status_code == 200
    users.delete_one({"_id": account.id})
    response = client.get("/api/users/me", headers=account.bearer)
    assert response.status_code == 401
    assert response.json["code"] == "invalid_token"


def test_rehashing_leaves_a_password_that_was_changed_meanwhile(app, account, users):
    store: UserStore = app.extensions["services"].users
    users.update_one({"_id": account.id}, {"$set": {"password": "changed"}})
    assert store.replace_password_hash(account.id, "checked", "new") is False
    assert users.find_one()["password"] == "changed"
