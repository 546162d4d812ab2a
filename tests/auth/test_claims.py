"""What access tokens say of a user: `TOKEN_CLAIMS`."""

import jwt
import pytest

from tests import factories

CLAIMS = ["roles", "email", "email_verified", "app_metadata.plan", "app_metadata.seats"]


def claims(response):
    return jwt.decode(response.json["access_token"], options={"verify_signature": False})


@pytest.fixture
def client(make_app):
    return make_app(TOKEN_CLAIMS=CLAIMS).test_client()


@pytest.fixture
def log_in(client, account):
    return lambda: factories.log_in(client, account.email)


@pytest.fixture
def refresh(client):
    form = {"grant_type": "refresh_token"}
    return lambda token: client.post("/api/auth/refresh", data=form | {"refresh_token": token})


def test_a_login_puts_the_claims_into_the_token(log_in, account, users):
    users.update_one({"_id": account.id}, {"$set": {"app_metadata": {"plan": "pro", "secret": "x"}}})
    found = claims(log_in())
    assert {name: found.get(name) for name in ("roles", "email", "email_verified", "plan", "seats", "secret")} == {
        "roles": ["user"],
        "email": account.email,
        "email_verified": False,
        "plan": "pro",
        "seats": None,
        "secret": None,
    }


def test_a_refresh_puts_the_current_ones_into_the_token_and_so_does_its_repetition(account, refresh, users):
    change = {
        "roles": ["user", "admin"],
        "email_verified": True,
        "app_metadata": {"plan": "pro", "seats": [1, {"a": 2}]},
    }
    users.update_one({"_id": account.id}, {"$set": change})
    for _ in range(2):
        found = claims(refresh(account.refresh_token))
        assert found["roles"] == ["user", "admin"]
        assert found["email_verified"] is True
        assert (found["plan"], found["seats"]) == ("pro", [1, {"a": 2}])


def test_they_cost_no_operation_on_the_database(account, log_in, refresh, watch_commands):
    with watch_commands() as commands:
        refresh(account.refresh_token)
    assert [command.command_name for command in commands] == ["find", "findAndModify", "update"]
    with watch_commands() as commands:
        log_in()
    assert [command.command_name for command in commands].count("find") == 1


def test_a_user_of_the_fastapi_service_has_the_role_user(account, log_in, users):
    users.update_one({"_id": account.id}, {"$unset": {"roles": True, "email_verified": True}})
    found = claims(log_in())
    assert (found["roles"], found["email_verified"]) == (["user"], False)


def test_without_token_claims_a_token_says_nothing_of_its_user(make_app, account):
    found = claims(factories.log_in(make_app(TOKEN_CLAIMS=[]).test_client(), account.email))
    assert not found.keys() & {"roles", "email", "email_verified"}


def test_a_token_with_claims_is_accepted(client, log_in):
    bearer = {"Authorization": f"Bearer {log_in().json['access_token']}"}
    assert client.get("/api/users/me", headers=bearer).status_code == 200
