import time

import pytest

from tests.factories import fastapi_user, log_in


def bearer(grant):
    return {"Authorization": f"Bearer {grant['access_token']}"}


def list_sessions(client, headers):
    return client.get("/api/users/me/sessions", headers=headers).json


def test_the_list_has_each_session_without_its_secrets(client, account):
    [session] = list_sessions(client, account.bearer)
    assert set(session) == {
        "id",
        "user_agent",
        "created_at",
        "last_used_at",
        "expires_at",
        "current",
        "auth_time",
        "acr",
        "amr",
    }
    assert session["current"] is True
    assert session["created_at"] == session["last_used_at"] < session["expires_at"]


def test_the_session_used_last_comes_first(client, account, move_clock):
    move_clock(seconds=1)
    second = log_in(client, headers={"User-Agent": "telephone"}).json
    sessions = list_sessions(client, bearer(second))
    assert [(session["user_agent"], session["current"]) for session in sessions] == [
        ("telephone", True),
        (sessions[1]["user_agent"], False),
    ]


def test_a_long_user_agent_is_truncated(client, account):
    log_in(client, headers={"User-Agent": "$" + "x" * 3000})
    assert max(len(session["user_agent"]) for session in list_sessions(client, account.bearer)) == 200


def test_of_twenty_four_logins_the_newest_twenty_are_kept(client, account, users, move_clock):
    grants = []
    for _ in range(24):
        move_clock(seconds=1)
        grants.append(log_in(client).json)
    assert len(users.find_one()["sessions"]) == 20
    statuses = [client.get("/api/users/me", headers=bearer(grant)).status_code for grant in grants]
    assert statuses == [401] * 4 + [200] * 20


def test_the_least_recently_used_session_is_dropped_not_the_oldest(client, account, move_clock):
    grants = []
    for _ in range(19):
        move_clock(seconds=1)
        grants.append(log_in(client).json)
    move_clock(seconds=20)
    form = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    refreshed = client.post("/api/auth/refresh", data=form).json
    log_in(client)
    assert client.get("/api/users/me", headers=bearer(refreshed)).status_code == 200
    assert client.get("/api/users/me", headers=bearer(grants[0])).status_code == 401


def test_ended_sessions_are_dropped_at_a_login(client, account, users, move_clock):
    move_clock(days=15)
    log_in(client)
    assert len(users.find_one()["sessions"]) == 1


def test_a_document_of_the_fastapi_era_gets_its_first_session(client, users):
    users.insert_one(fastapi_user())
    grant = log_in(client, "Grace.Hopper@example.com").json
    assert len(list_sessions(client, bearer(grant))) == 1


def test_logout_is_seen_at_once_by_every_application(client, make_app, account):
    other = make_app().test_client()
    assert other.get("/api/users/me", headers=account.bearer).status_code == 200
    response = client.post("/api/auth/logout", headers=account.bearer)
    assert response.status_code == 204
    assert response.data == b""
    for each in (client, other):
        answer = each.get("/api/users/me", headers=account.bearer)
        assert answer.status_code == 401
        assert answer.json["code"] == "invalid_token"
    assert client.post("/api/auth/logout", headers=account.bearer).status_code == 401


def test_one_session_can_be_ended(client, account):
    other = log_in(client).json
    [ended] = [session["id"] for session in list_sessions(client, account.bearer) if not session["current"]]
    assert client.delete(f"/api/users/me/sessions/{ended}", headers=account.bearer).status_code == 204
    assert client.get("/api/users/me", headers=bearer(other)).status_code == 401
    assert client.get("/api/users/me", headers=account.bearer).status_code == 200


def test_the_current_session_can_be_ended(client, account):
    [session] = list_sessions(client, account.bearer)
    assert client.delete(f"/api/users/me/sessions/{session['id']}", headers=account.bearer).status_code == 204
    assert client.get("/api/users/me", headers=account.bearer).status_code == 401


def test_the_session_of_another_user_is_not_found_and_stays(client, account, other_account):
    [session] = list_sessions(client, other_account.bearer)
    response = client.delete(f"/api/users/me/sessions/{session['id']}", headers=account.bearer)
    assert response.status_code == 404
    assert response.json["code"] == "session_not_found"
    assert client.get("/api/users/me", headers=other_account.bearer).status_code == 200


@pytest.mark.parametrize("session_id", ["x", "0" * 24, "%24ne", '{"$ne":null}', "%00", "\u00e9"])
def test_a_session_that_does_not_exist_is_not_found(client, account, session_id):
    response = client.delete(f"/api/users/me/sessions/{session_id}", headers=account.bearer)
    assert response.status_code == 404
    assert response.json["code"] == "session_not_found"
    assert len(list_sessions(client, account.bearer)) == 1


@pytest.mark.parametrize(("query", "status"), [("", 200), ("?current=false", 200), ("?current=true", 401)])
def test_all_other_sessions_end_and_the_current_one_on_request(client, account, query, status):
    others = [log_in(client).json, log_in(client).json]
    assert client.delete(f"/api/users/me/sessions{query}", headers=account.bearer).status_code == 204
    assert [client.get("/api/users/me", headers=bearer(grant)).status_code for grant in others] == [401, 401]
    assert client.get("/api/users/me", headers=account.bearer).status_code == status


@pytest.mark.parametrize("query", ["current=yes", "current=1", "current=", "current=TRUE"])
def test_an_ambiguous_query_ends_nothing(client, account, query):
    log_in(client)
    response = client.delete(f"/api/users/me/sessions?{query}", headers=account.bearer)
    assert response.status_code == 422
    assert list(response.json["errors"]) == ["current"]
    assert len(list_sessions(client, account.bearer)) == 2


def test_reading_a_profile_does_not_write(client, account, users):
    before = users.find_one()
    time.sleep(0.002)
    client.get("/api/users/me", headers=account.bearer)
    assert users.find_one() == before
