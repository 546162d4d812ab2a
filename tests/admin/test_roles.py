"""Roles: who gives them, what they open, and from when on."""

import pytest

from pixora.accounts.directory import Directory
from pixora.accounts.users import is_admin
from pixora.admin import service
from pixora.admin.changes import OPERATOR
from pixora.errors import DatabaseUnavailable
from tests.factories import fastapi_user

ME = "/api/users/me"
BOTH = ["user", "admin"]


@pytest.fixture
def set_roles(ask):
    return lambda user, roles, **kwargs: ask("PUT", f"/{user.id}/roles", json={"roles": roles}, **kwargs)


@pytest.fixture
def audited(mongo):
    """The rows of the audit trail about a user, without what is in every row."""
    rows = mongo.get_default_database()["audit"]
    rows.delete_many({})

    def read(user):
        common = {"_id": 0, "user_id": 0, "at": 0, "network": 0, "request_id": 0}
        return list(rows.find({"user_id": user.id, "by": {"$exists": True}}, common, sort=[("_id", 1)]))

    return read


def test_a_promotion_takes_effect_at_the_next_request(ask, client, account, set_roles):
    assert ask("GET", by=account).status_code == 403
    response = set_roles(account, BOTH)
    assert response.status_code == 200
    assert response.json == client.get(ME, headers=account.bearer).json | {"disabled": False}
    assert response.json["roles"] == BOTH
    assert ask("GET", by=account).status_code == 200


def test_a_demotion_takes_effect_at_the_next_request(ask, client, second_admin, set_roles, other_app):
    other = other_app.test_client()
    assert other.get("/api/admin/users", headers=second_admin.bearer).status_code == 200
    assert set_roles(second_admin, ["user"]).status_code == 200
    for response in (ask("GET", by=second_admin), other.get("/api/admin/users", headers=second_admin.bearer)):
        assert (response.status_code, response.json["code"]) == (403, "forbidden")
        assert response.json["detail"] == "Only administrators can do this."
    assert client.get(ME, headers=second_admin.bearer).json["roles"] == ["user"]


def test_an_administrator_cannot_read_another_profile_by_the_users_route(client, admin, account):
    assert client.get(f"/api/users/{account.id}", headers=admin.bearer).status_code == 403


def test_authorization_is_checked_before_validation(ask, account):
    for method, path in (("GET", "?limit=x"), ("GET", "/x"), ("PUT", "/x/roles"), ("POST", f"/{account.id}/disable")):
        assert ask(method, path, by=account).status_code == 403


def test_authorization_takes_one_operation(ask, account, watch_commands):
    ask("GET", by=account)
    with watch_commands() as commands:
        ask("GET", by=account)
    assert [command.command_name for command in commands] == ["find"]


@pytest.mark.parametrize("roles", [["admin", "user"], ["admin"], ["user"]])
def test_roles_are_stored_in_a_fixed_order(users, account, set_roles, roles):
    stored = set_roles(account, roles).json["roles"]
    assert stored == users.find_one({"_id": account.id})["roles"] == [role for role in BOTH if role in roles]


@pytest.mark.parametrize(
    "roles",
    [[], None, "admin", ["owner"], ["Admin"], ["user", "user"], [None], [["admin"]], {"admin": True}, 1, ["admin", 1]],
    ids=repr,
)
def test_malformed_roles_are_refused(users, account, set_roles, roles):
    before = users.find_one({"_id": account.id})
    response = set_roles(account, roles)
    assert response.status_code == 422
    assert set(response.json["errors"]) == {"roles"}
    assert users.find_one({"_id": account.id}) == before


def test_users_cannot_change_their_own_roles(ask, client, account, set_roles):
    assert set_roles(account, BOTH, by=account).status_code == 403
    assert client.patch(ME, json={"roles": BOTH}, headers=account.bearer).status_code == 422


def test_a_change_of_roles_changes_the_etag(client, account, set_roles):
    tags = [client.get(ME, headers=account.bearer).headers["ETag"]]
    for roles in (BOTH, ["user"], BOTH):
        set_roles(account, roles)
        tags.append(client.get(ME, headers=account.bearer).headers["ETag"])
    assert len(set(tags)) == 4
    response = client.patch(ME, json={"last_name": "King"}, headers=account.bearer | {"If-Match": tags[0]})
    assert response.status_code == 412


def test_a_user_of_the_fastapi_service_gets_roles(ask, users):
    user = fastapi_user()
    users.insert_one(user)
    assert ask("PUT", f"/{user['_id']}/roles", json={"roles": ["user"]}).json["roles"] == ["user"]
    assert users.find_one({"_id": user["_id"]}) == user  # who has none has this one
    assert ask("PUT", f"/{user['_id']}/roles", json={"roles": BOTH}).json["roles"] == BOTH
    assert users.find_one({"_id": user["_id"]})["roles"] == BOTH


def test_an_unknown_stored_role_is_ignored(app, ask, users):
    user = fastapi_user(roles=["owner"])
    users.insert_one(user)
    assert ask("PUT", f"/{user['_id']}/roles", json={"roles": BOTH}).json["roles"] == BOTH
    users.update_one({"_id": user["_id"]}, {"$set": {"roles": ["owner", "admin"]}})
    with app.app_context():
        assert service.set_roles(user["_id"], ["user"], by=OPERATOR)["roles"] == ["user"]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, False),
        ({"roles": None}, False),
        ({"roles": []}, False),
        ({"roles": ["administrator"]}, False),
        ({"roles": "administrator"}, False),
        ({"roles": ["owner"]}, False),
        ({"roles": ["user", "admin"]}, True),
        ({"roles": ["admin"]}, True),
    ],
)
def test_only_the_role_admin_makes_an_administrator(stored, expected):
    assert is_admin(stored) is expected


def test_every_action_is_audited_with_the_administrator(ask, admin, account, set_roles, audited):
    set_roles(account, BOTH)
    ask("DELETE", f"/{account.id}/sessions")
    ask("POST", f"/{account.id}/disable")
    ask("POST", f"/{account.id}/enable")
    set_roles(account, ["user"])
    by = {"by": admin.id}
    assert audited(account) == [
        {"event": "roles_changed", **by, "details": {"before": ["user"], "roles": BOTH}},
        {"event": "sessions_ended", **by, "details": {}},
        {"event": "user_disabled", **by, "details": {}},
        {"event": "user_enabled", **by, "details": {}},
        {"event": "roles_changed", **by, "details": {"before": BOTH, "roles": ["user"]}},
    ]


@pytest.mark.parametrize(
    ("method", "path", "event"),
    [
        ("POST", "disable", "user_disabled"),
        ("DELETE", "sessions", "sessions_ended"),
        ("PUT", "roles", "roles_changed"),
    ],
)
def test_a_change_that_was_not_acknowledged_is_audited_with_an_unknown_outcome(
    ask, admin, account, audited, monkeypatch, method, path, event
):
    change = Directory.update_any

    def change_and_be_gone(self, *args, **kwargs):
        monkeypatch.setattr(Directory, "update_any", change)
        assert change(self, *args, **kwargs)
        raise DatabaseUnavailable("timeout")

    monkeypatch.setattr(Directory, "update_any", change_and_be_gone)
    body = {"json": {"roles": BOTH}} if path == "roles" else {}
    assert ask(method, f"/{account.id}/{path}", **body).status_code == 503
    assert ask(method, f"/{account.id}/{path}", **body).status_code in (200, 204)
    [row] = audited(account)
    details = {"before": ["user"], "roles": BOTH} if path == "roles" else {}
    assert row == {"event": event, "by": admin.id, "details": {"outcome": "unknown", **details}}


def test_only_changes_are_audited(ask, admin, account, set_roles, audited):
    set_roles(account, ["user"])
    ask("POST", f"/{account.id}/enable")
    set_roles(account, BOTH, by=account)
    set_roles(admin, ["user"])
    ask("POST", f"/{admin.id}/disable")
    ask("DELETE", f"/{account.id}/sessions")
    ask("DELETE", f"/{account.id}/sessions")
    assert [row["event"] for row in audited(account)] == ["sessions_ended"]
    assert audited(admin) == []
