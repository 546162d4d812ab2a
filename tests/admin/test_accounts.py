"""Administrators create, change, verify and delete users, and send them links."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pixora.admin import routes
from tests.factories import PASSWORD, fastapi_user, signup_body

ME = "/api/users/me"
NEW = signup_body(email="new@example.com")


@pytest.fixture
def log_in_as(client):
    return lambda email, password=PASSWORD: (
        client.post("/api/auth/login", data={"username": email, "password": password}).status_code
    )


def events(trail, user_id):
    return [(row["event"], row.get("by")) for row in trail.find({"user_id": user_id}, sort=[("at", 1), ("_id", 1)])]


def test_an_administrator_creates_a_user_who_can_log_in(ask, admin, users, trail, emails_to, log_in_as):
    created = ask("POST", json=NEW | {"app_metadata": {"plan": "gold"}, "metadata": {"a": None, "b": 1}})
    assert created.status_code == 201
    user_id = created.json["id"]
    assert created.headers["Location"] == f"/api/admin/users/{user_id}"
    assert created.json == ask("GET", f"/{user_id}").json
    assert created.json["app_metadata"] == {"plan": "gold"}
    assert created.json["metadata"] == {"b": 1}
    assert (created.json["roles"], created.json["email_verified"], created.json["disabled"]) == (["user"], False, False)
    assert PASSWORD not in created.text
    assert "password" not in created.json
    assert [email["template"] for email in emails_to("new@example.com")] == ["verify_email"]
    assert events(trail, user_id) == [("user_created", admin.id)]
    assert log_in_as("new@example.com") == 200


def test_a_verified_administrator_is_created_without_an_email(ask, users, emails_to, log_in_as, client):
    created = ask("POST", json=NEW | {"roles": ["user", "admin"], "email_verified": True}).json
    assert (created["roles"], created["email_verified"]) == (["user", "admin"], True)
    assert emails_to("new@example.com") == []
    assert log_in_as("new@example.com") == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({name: ""}, name) for name in NEW),
        ({"password": "new@example.com-2026"}, "password"),
        ({"password": None}, "password"),
        ({"roles": []}, "roles"),
        ({"roles": ["root"]}, "roles"),
        ({"email_verified": "true"}, "email_verified"),
        ({"app_metadata": []}, "app_metadata"),
        ({"app_metadata": {"$a": 1}}, "app_metadata"),
        ({"locale": "de_AT"}, "locale"),
        ({"locale": None}, "locale"),
        ({"disabled": True}, "disabled"),
        ({"id": "a" * 24}, "id"),
    ],
)
def test_a_user_is_created_by_the_rules_of_the_sign_up(ask, admin, users, changes, field):
    refused = ask("POST", json=NEW | changes)
    assert (refused.status_code, set(refused.json["errors"])) == (422, {field})
    assert users.count_documents({}) == 1


def test_a_taken_address_is_refused(ask, users, account):
    refused = ask("POST", json=signup_body(email="ADA@example.com"))
    assert (refused.status_code, refused.json["code"]) == (409, "email_taken")
    assert users.count_documents({"email": "ada@example.com"}) == 1


def test_an_administrator_corrects_a_profile_and_the_owner_is_told(
    ask, client, admin, account, users, trail, emails_to
):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    before = ask("GET", f"/{account.id}")
    body = {"first_name": "Augusta", "contact": "+44 20 7946 0959", "app_metadata": {"plan": "gold"}}
    changed = ask("PATCH", f"/{account.id}", json=body)
    assert changed.status_code == 200
    assert (changed.json["first_name"], changed.json["contact"]) == ("Augusta", "+442079460959")
    assert changed.json == ask("GET", f"/{account.id}").json
    assert changed.headers["ETag"] != before.headers["ETag"]
    assert client.get(ME, headers=account.bearer).json["app_metadata"] == {"plan": "gold"}
    [_, notice] = emails_to(account.email)
    assert (notice["template"], notice["context"]) == ("account_changed", {"changes": "first_name,contact"})
    [row] = trail.find({"event": "user_changed"})
    assert (row["user_id"], row["by"]) == (account.id, admin.id)
    assert row["details"] == {"fields": ["app_metadata", "contact", "first_name"]}


def test_metadata_is_no_reason_for_an_email(ask, account, users, emails_to):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    ask("PATCH", f"/{account.id}", json={"metadata": {"a": 1}, "app_metadata": {"b": 2}})
    ask("PATCH", f"/{account.id}", json={"first_name": "Ada"})  # as it is
    assert [email["template"] for email in emails_to(account.email)] == ["verify_email"]


def test_both_kinds_of_metadata_are_changed_by_merge_patch_and_if_match(ask, account):
    first = ask("PATCH", f"/{account.id}", json={"app_metadata": {"a": {"b": 1}, "c": 2}})
    again = ask("PATCH", f"/{account.id}", json={"app_metadata": {"a": {"d": 3}, "c": None}})
    assert again.json["app_metadata"] == {"a": {"b": 1, "d": 3}}
    assert again.headers["ETag"] != first.headers["ETag"]
    assert ask("PATCH", f"/{account.id}", json={"app_metadata": None}).status_code == 200
    assert "app_metadata" not in ask("GET", f"/{account.id}").json


def test_a_change_of_another_state_is_refused(client, admin, account):
    path = f"/api/admin/users/{account.id}"
    tag = client.get(path, headers=admin.bearer).headers["ETag"]
    assert client.get(path, headers=admin.bearer | {"If-None-Match": tag}).status_code == 304
    headers = admin.bearer | {"If-Match": tag}
    assert client.patch(path, json={"app_metadata": {"a": 1}}, headers=headers).status_code == 200
    refused = client.patch(path, json={"app_metadata": {"b": 1}}, headers=headers)
    assert (refused.status_code, refused.json["code"]) == (412, "precondition_failed")
    assert client.get(path, headers=admin.bearer).json["app_metadata"] == {"a": 1}


def test_of_changes_by_administrators_and_the_user_at_once_none_is_lost(app, admin, account, users):
    def change(number):
        client = app.test_client()
        if number % 2:
            return client.patch(ME, json={"metadata": {f"{number}": 1}}, headers=account.bearer).status_code
        body = {"app_metadata": {f"{number}": 1}, "metadata": {f"{number}": 1}}
        return client.patch(f"/api/admin/users/{account.id}", json=body, headers=admin.bearer).status_code

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(change, range(60))) == {200}
    stored = users.find_one({"_id": account.id})
    assert set(stored["metadata"]) == {f"{number}" for number in range(60)}
    assert set(stored["app_metadata"]) == {f"{number}" for number in range(0, 60, 2)}


def test_a_new_address_is_unverified_and_both_addresses_are_told(
    ask, client, account, users, emails_to, token_sent, log_in_as
):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    client.post("/api/auth/password-reset", json={"email": account.email})
    old_link = token_sent(account.email, "reset_password")
    changed = ask("PATCH", f"/{account.id}", json={"email": "Right@Example.com"})
    assert (changed.status_code, changed.json["email"], changed.json["email_verified"]) == (
        200,
        "right@example.com",
        False,
    )
    assert emails_to(account.email)[-1]["context"] == {"changes": "email"}
    body = {"token": token_sent("right@example.com", "verify_email"), "password": PASSWORD}
    assert client.post("/api/auth/verify-email/confirm", json=body).status_code == 204
    assert ask("GET", f"/{account.id}").json["email_verified"] is True
    body = {"token": old_link, "new_password": "analytical-engine-no-1"}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 400
    assert (log_in_as(account.email), log_in_as("right@example.com")) == (401, 200)


def test_the_address_of_another_user_is_refused(ask, account, other_account, users):
    before = users.find_one({"_id": account.id})
    refused = ask("PATCH", f"/{account.id}", json={"email": other_account.email, "first_name": "Augusta"})
    assert (refused.status_code, refused.json["code"]) == (409, "email_taken")
    assert users.find_one({"_id": account.id}) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"roles": ["admin"]}, "roles"),
        ({"password": PASSWORD}, "password"),
        ({"disabled": True}, "disabled"),
        ({"email_verified": True}, "email_verified"),
        ({"email": None}, "email"),
        ({"first_name": None}, "first_name"),
        ({"app_metadata": [1]}, "app_metadata"),
        ({"app_metadata": {"a": "a" * 4096}}, "app_metadata"),
    ],
)
def test_a_malformed_change_is_refused(ask, account, users, body, field):
    before = users.find_one({"_id": account.id})
    refused = ask("PATCH", f"/{account.id}", json=body)
    assert (refused.status_code, set(refused.json["errors"])) == (422, {field})
    assert users.find_one({"_id": account.id}) == before


def test_an_administrator_verifies_an_address_once(ask, admin, account, client, trail, token_sent):
    token = token_sent(account.email, "verify_email")
    trail.delete_many({})
    assert [ask("POST", f"/{account.id}/verify").status_code for _ in range(2)] == [204, 204]
    assert ask("GET", f"/{account.id}").json["email_verified"] is True
    assert events(trail, account.id) == [("email_verified", admin.id)]
    body = {"token": token, "password": PASSWORD}
    assert client.post("/api/auth/verify-email/confirm", json=body).status_code == 400


def test_an_administrator_sends_a_link_to_choose_a_new_password(
    ask, client, admin, account, trail, token_sent, log_in_as
):
    trail.delete_many({})
    assert ask("POST", f"/{account.id}/password-reset").status_code == 202
    assert events(trail, account.id) == [("password_reset_requested", admin.id)]
    assert log_in_as(account.email) == 200  # nothing has changed so far
    body = {"token": token_sent(account.email, "reset_password"), "new_password": "analytical-engine-no-1"}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    assert log_in_as(account.email, "analytical-engine-no-1") == 200


def test_a_disabled_user_gets_no_link(ask, account, emails_to):
    ask("POST", f"/{account.id}/disable")
    before = emails_to(account.email)
    refused = ask("POST", f"/{account.id}/password-reset")
    assert (refused.status_code, refused.json["code"]) == (409, "user_disabled")
    assert emails_to(account.email) == before


def test_links_from_administrators_count_among_the_emails_of_the_address(make_app, ask, admin, users, counts):
    users.insert_one(fastapi_user(_id="a" * 24))
    client = make_app(throttle_mail_per_account="5 per hour").test_client()
    path = f"/api/admin/users/{'a' * 24}/password-reset"
    answers = [client.post(path, headers=admin.bearer) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_a_deleted_user_leaves_nothing_and_the_trail_says_who_did_it(
    ask, client, admin, account, users, trail, log_in_as, token_sent
):
    client.post("/api/auth/password-reset", json={"email": account.email})
    link = token_sent(account.email, "reset_password")
    assert ask("DELETE", f"/{account.id}").status_code == 204
    assert users.find_one({"_id": account.id}) is None
    assert client.get(ME, headers=account.bearer).status_code == 401
    assert log_in_as(account.email) == 401
    assert ask("DELETE", f"/{account.id}").status_code == 404
    assert trail.find_one({"user_id": account.id}) is None
    [row] = trail.find({"event": "account_deleted"})
    assert row["by"] == admin.id
    assert row["user_id"].startswith("erased-")
    body = {"token": link, "new_password": "analytical-engine-no-1"}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 400
    assert client.post("/api/auth/signup", json=signup_body()).status_code == 201


def test_a_disabled_user_can_be_deleted(ask, account, users):
    ask("POST", f"/{account.id}/disable")
    assert ask("DELETE", f"/{account.id}").status_code == 204
    assert users.find_one({"_id": account.id}) is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("DELETE", "", None), ("POST", "/verify", None), ("PATCH", "", {"email": "x@example.com"})],
)
def test_administrators_do_to_themselves_only_what_needs_no_password(ask, admin, users, method, path, body):
    before = users.find_one({"_id": admin.id})
    refused = ask(method, f"/{admin.id}{path}", json=body)
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    assert users.find_one({"_id": admin.id}) == before
    assert ask("PATCH", f"/{admin.id}", json={"first_name": "Augusta"}).status_code == 200


def test_of_two_administrators_who_delete_each_other_one_stays(app, admin, second_admin, users):
    def delete(pair):
        path = f"/api/admin/users/{pair[1].id}"
        return app.test_client().delete(path, headers=pair[0].bearer).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(delete, [(admin, second_admin), (second_admin, admin)]))
    assert users.count_documents({"roles": "admin"}) >= 1
    assert set(statuses) <= {204, 409, 401}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", NEW),
        ("PATCH", "/{}", {"first_name": "Augusta"}),
        ("DELETE", "/{}", None),
        ("POST", "/{}/verify", None),
        ("POST", "/{}/password-reset", None),
    ],
)
@pytest.mark.parametrize("change", [{"roles": ["user"]}, {"sessions": []}])
def test_an_administrator_who_is_demoted_meanwhile_changes_nothing(
    ask, admin, account, users, monkeypatch, method, path, body, change
):
    before = users.find_one({"_id": account.id})
    actor = routes._actor

    def demoted(user):
        users.update_one({"_id": admin.id}, {"$set": change})
        return actor(user)

    monkeypatch.setattr(routes, "_actor", demoted)
    refused = ask(method, path.format(account.id), json=body)
    assert refused.status_code == (403 if "roles" in change else 401)
    assert users.find_one({"_id": account.id}) == before
    assert users.count_documents({}) == 2


@pytest.mark.parametrize("user_id", ["0" * 24, "x", "%00", "x" * 2000])
@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", ""), ("DELETE", ""), ("POST", "/verify"), ("POST", "/password-reset")]
)
def test_an_unknown_user_is_not_found(ask, users, method, path, user_id):
    response = ask(method, f"/{user_id}{path}", json={"first_name": "Ada"} if method == "PATCH" else None)
    assert (response.status_code, response.json["code"]) == (404, "user_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/disable", None, "disabled"),
        ("PUT", "/roles", {"roles": ["admin"]}, "roles"),
        ("PATCH", "", {"birthday": "1991-01-31"}, "birthday"),
    ],
)
def test_the_owner_is_told_by_email_what_an_administrator_has_done(
    ask, account, users, emails_to, method, path, body, told
):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    ask(method, f"/{account.id}{path}", json=body)
    ask(method, f"/{account.id}{path}", json=body)  # which changes nothing
    notices = [email for email in emails_to(account.email) if email["template"] == "account_changed"]
    assert [notice["context"] for notice in notices] == [{"changes": told}]


def test_a_user_who_is_enabled_again_is_told(ask, account, users, emails_to):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True, "disabled": True}})
    ask("POST", f"/{account.id}/enable")
    assert emails_to(account.email)[-1]["context"] == {"changes": "enabled"}
