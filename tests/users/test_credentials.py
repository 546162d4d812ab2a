"""Changing one's password and deleting one's account."""

from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from pixora.auth import credentials
from pixora.database.client import DatabaseUnavailable
from pixora.errors import Overloaded
from pixora.passwords import strength, verify
from pixora.passwords.queue import HashingQueue
from pixora.throttling.limits import Throttles
from tests.auth.conftest import NEW_PASSWORD, is_refused
from tests.conftest import make_account
from tests.factories import HASH_2A, PASSWORD, fastapi_user, log_in

ME = "/api/users/me"
PASSWORD_PATH = "/api/users/me/password"


@pytest.fixture
def change(client, account):
    def change(current=PASSWORD, new=NEW_PASSWORD, **more):
        body = {"current_password": current, "new_password": new, **more}
        return client.post(PASSWORD_PATH, json=body, headers=account.bearer)

    return change


@pytest.fixture
def delete(client, account):
    return lambda password=PASSWORD: client.delete(ME, json={"password": password}, headers=account.bearer)


def test_the_new_password_logs_in_and_the_old_one_does_not(client, change):
    response = change()
    assert response.status_code == 204
    assert response.data == b""
    assert log_in(client, password=NEW_PASSWORD).status_code == 200
    assert log_in(client, password=PASSWORD).status_code == 401


def test_a_change_ends_every_other_session(client, account, change):
    other = log_in(client).json
    change()
    assert client.get(ME, headers=account.bearer).status_code == 200
    assert client.get(ME, headers={"Authorization": f"Bearer {other['access_token']}"}).status_code == 401
    for token, status in ((account.refresh_token, 200), (other["refresh_token"], 401)):
        form = {"grant_type": "refresh_token", "refresh_token": token}
        assert client.post("/api/auth/refresh", data=form).status_code == status


def test_a_change_queues_a_notice_in_the_same_operation(account, change, emails_to, watch_commands):
    with watch_commands() as commands:
        change()
    assert [one.command_name for one in commands if one.command_name != "find" and "users" in one.command.values()] == [
        "update"
    ]
    assert emails_to(account.email)[-1]["template"] == "password_changed"


def test_a_change_of_the_password_ends_a_pending_change_of_email(client, account, change, token_sent):
    body = {"email": "new@example.com", "password": PASSWORD}
    client.post("/api/users/me/email", json=body, headers=account.bearer)
    change()
    moved = {"token": token_sent("new@example.com", "change_email")}
    assert is_refused(client.post("/api/auth/change-email/confirm", json=moved))


def test_a_reset_under_way_wins_over_a_change_by_somebody_who_knows_the_password(client, account, change, token_sent):
    client.post("/api/auth/password-reset", json={"email": account.email})
    assert change().status_code == 204
    body = {"token": token_sent(account.email, "reset_password"), "new_password": "another-engine-no-3"}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204


def test_a_change_keeps_the_verification_link_valid(client, account, change, token_sent):
    change()
    body = {"token": token_sent(account.email, "verify_email"), "password": NEW_PASSWORD}
    assert client.post("/api/auth/verify-email/confirm", json=body).status_code == 204


def test_a_wrong_password_changes_nothing(change, users):
    before = users.find_one()
    response = change(current="wrong-password-1")
    assert (response.status_code, response.json["code"]) == (403, "wrong_password")
    assert users.find_one() == before


@pytest.mark.parametrize("new", ["short", "x" * 73, "é" * 37, "adalovelace1990", "ada@example.com", "password12345"])
def test_a_weak_new_password_is_refused_with_advice(change, users, new):
    before = users.find_one()
    response = change(new=new)
    assert response.status_code == 422
    assert list(response.json["errors"]) == ["new_password"]
    assert users.find_one() == before


@pytest.mark.parametrize(("new", "status"), [("short", 422), ("x" * 73, 422), ("adalovelace1990", 403)])
def test_a_new_password_is_scored_only_after_the_current_one_was_right(change, monkeypatch, new, status):
    monkeypatch.setattr(strength, "zxcvbn", None)
    assert change("wrong-password-1", new).status_code == status


def test_the_current_names_make_a_password_weak(client, account, change):
    client.patch(ME, json={"first_name": "Xylophonia", "last_name": "Quackenbush"}, headers=account.bearer)
    assert change(new="xylophoniaquackenbush").status_code == 422


@pytest.mark.parametrize("typed", [PASSWORD, "wrong-password-1"])
def test_the_new_password_must_not_be_the_old_one(change, users, typed):
    before = users.find_one()
    response = change(typed, typed)
    assert response.status_code == 422
    assert response.json["errors"] == {"new_password": ["Must not be the current password."]}
    assert users.find_one() == before


@pytest.mark.parametrize("field", ["current_password", "new_password"])
@pytest.mark.parametrize("value", [None, 1, [], {"$ne": ""}, "\0"])
def test_a_password_of_another_type_is_refused(change, field, value):
    arguments = {"current_password": PASSWORD, "new_password": NEW_PASSWORD} | {field: value}
    response = change(arguments["current_password"], arguments["new_password"])
    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]


def test_an_unknown_field_is_refused(change):
    assert change(email="new@example.com").json["errors"] == {"email": ["Unknown field."]}


def test_a_user_of_the_fastapi_service_changes_the_password(client, users):
    user = fastapi_user(password=HASH_2A)
    users.insert_one(user)
    bearer = {"Authorization": f"Bearer {log_in(client, user['email']).json['access_token']}"}
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert client.post(PASSWORD_PATH, json=body, headers=bearer).status_code == 204
    assert log_in(client, user["email"], NEW_PASSWORD).status_code == 200


def test_of_many_changes_at_once_one_is_made(app, account, users):
    def change(number):
        body = {"current_password": PASSWORD, "new_password": f"{NEW_PASSWORD}-{number}"}
        return app.test_client().post(PASSWORD_PATH, json=body, headers=account.bearer).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(change, range(10)))
    assert sorted(statuses) == [204] + [403] * 9
    winner = f"{NEW_PASSWORD}-{statuses.index(204)}"
    assert verify.verify_password(winner, users.find_one()["password"])


@pytest.mark.parametrize("path", ["password", "delete"])
@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 204), ("another-engine-no-3", 403)])
def test_the_password_is_checked_again_when_the_hash_changes_meanwhile(
    client, account, users, monkeypatch, path, password, status
):
    """As when a login has re-hashed the same password just now, or it was changed in another window."""
    check = credentials.check_password

    def check_and_lose(*args):
        monkeypatch.setattr(credentials, "check_password", check)
        checked = check(*args)
        rehashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()
        users.update_one({"_id": account.id}, {"$set": {"password": rehashed}})
        return checked

    monkeypatch.setattr(credentials, "check_password", check_and_lose)
    if path == "password":
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        response = client.post(PASSWORD_PATH, json=body, headers=account.bearer)
    else:
        response = client.delete(ME, json={"password": PASSWORD}, headers=account.bearer)
    assert response.status_code == status
    if status == 403:
        assert verify.verify_password(password, users.find_one()["password"])


@pytest.mark.parametrize(
    ("method", "path", "field", "more"),
    [
        ("POST", PASSWORD_PATH, "current_password", {"new_password": NEW_PASSWORD}),
        ("POST", "/api/users/me/email", "password", {"email": "new@example.com"}),
        ("DELETE", ME, "password", {}),
    ],
)
class TestEveryRouteThatChecksThePassword:
    def test_shares_the_limits_of_the_login(self, make_app, account, counts, method, path, field, more):
        client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="3 per hour").test_client()

        def call(password):
            return client.open(path, method=method, json={field: password, **more}, headers=account.bearer)

        assert log_in(client, account.email.upper(), "wrong").status_code == 401
        assert [call("wrong").status_code for _ in range(3)] == [403, 403, 429]
        assert call(PASSWORD).status_code == 429
        assert log_in(client, account.email.upper()).status_code == 429

    def test_hashes_in_the_queue_and_reports_an_overload(self, app, account, monkeypatch, method, path, field, more):
        def refuse(*args, **kwargs):
            raise Overloaded

        monkeypatch.setattr(HashingQueue, "run", refuse)
        client = app.test_client()
        response = client.open(path, method=method, json={field: PASSWORD, **more}, headers=account.bearer)
        assert (response.status_code, response.json["code"]) == (503, "overloaded")

    def test_holds_a_slot(self, make_app, account, method, path, field, more):
        app = make_app(GUNICORN_THREADS=5)
        with app.app_context(), app.extensions["services"].hashing_queue.slot():
            response = app.test_client().open(
                path, method=method, json={field: PASSWORD, **more}, headers=account.bearer
            )
        assert (response.status_code, response.json["code"]) == (503, "overloaded")

    def test_hands_a_right_attempt_back(self, client, account, counts, method, path, field, more):
        client.open(path, method=method, json={field: PASSWORD, **more}, headers=account.bearer)
        logins = counts.find({"_id": {"$regex": "THROTTLE_LOGIN"}})
        assert {document["count"] for document in logins} <= {0}


@pytest.mark.parametrize(
    ("path", "purpose", "body"),
    [
        ("verify-email", "verify_email", {"password": PASSWORD}),
        ("password-reset", "reset_password", {"new_password": NEW_PASSWORD}),
    ],
)
def test_confirmations_that_hash_hold_a_slot_and_keep_the_token_valid(
    make_app, client, account, token_sent, path, purpose, body
):
    client.post("/api/auth/password-reset", json={"email": account.email})
    body["token"] = token_sent(account.email, purpose)
    app = make_app(GUNICORN_THREADS=5)
    with app.app_context(), app.extensions["services"].hashing_queue.slot():
        response = app.test_client().post(f"/api/auth/{path}/confirm", json=body)
        assert (response.status_code, response.json["code"]) == (503, "overloaded")
    assert app.test_client().post(f"/api/auth/{path}/confirm", json=body).status_code == 204


def test_deletion_takes_the_right_password(delete, users):
    before = users.find_one()
    response = delete("wrong-password-1")
    assert (response.status_code, response.json["code"]) == (403, "wrong_password")
    assert users.find_one() == before


@pytest.mark.parametrize("body", [[], {}, {"password": None}, {"password": PASSWORD, "confirm": True}])
def test_a_deletion_with_another_body_is_refused(client, account, users, body):
    assert client.delete(ME, json=body, headers=account.bearer).status_code == 422
    assert users.count_documents({}) == 1


def test_a_deletion_without_a_body_is_refused(client, account, users):
    assert client.delete(ME, headers=account.bearer).status_code == 415
    assert users.count_documents({}) == 1


def test_after_deletion_every_token_is_refused(client, account, delete):
    response = delete()
    assert response.status_code == 204
    assert response.data == b""
    assert client.get(ME, headers=account.bearer).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    assert client.post("/api/auth/refresh", data=form).status_code == 401
    assert log_in(client).status_code == 401


def test_deletion_leaves_other_users_alone(client, delete, other_account, users):
    delete()
    assert client.get(ME, headers=other_account.bearer).status_code == 200
    assert users.count_documents({}) == 1


def test_the_attempts_at_an_account_go_with_it_and_nothing_else(client, account, delete, counts):
    log_in(client, password="wrong")
    log_in(client, "nobody@example.com")
    assert counts.count_documents({"_id": {"$regex": "LOGIN_PER_ACCOUNT"}}) == 4
    delete()
    assert counts.count_documents({"_id": {"$regex": "LOGIN_PER_ACCOUNT"}}) == 2
    assert counts.count_documents({"_id": {"$regex": "PER_IP"}}) >= 1


def test_an_account_is_deleted_although_its_counts_cannot_be_reached(delete, users, monkeypatch):
    def fail(*args):
        raise DatabaseUnavailable

    monkeypatch.setattr(Throttles, "forget", fail)
    assert delete().status_code == 204
    assert users.count_documents({}) == 0


def test_the_address_is_free_again_after_deletion(client, delete, account):
    delete()
    assert make_account(client, email=account.email).id != account.id
