"""Invitations: a link to choose a password, sent, sent again, withdrawn, accepted.

Many at once: tests/system/test_races.py.
"""

import pytest

from pixora.accounts.hash_census import count_hashes
from pixora.admin import routes
from pixora.passwords import verify
from tests.auth.conftest import NEW_PASSWORD
from tests.factories import PASSWORD, signup_body

EMAIL = "guest@example.com"
CONFIRM = "/api/auth/invitation/confirm"


def invitation(**changes):
    body = signup_body(email=EMAIL, invite=True) | changes
    return {name: value for name, value in body.items() if name != "password"}


@pytest.fixture
def invite(ask):
    """Invite somebody; return the id."""

    def invite(**changes):
        created = ask("POST", json=invitation(**changes))
        assert created.status_code == 201, created.text
        return created.json["id"]

    return invite


@pytest.fixture
def token(token_sent):
    """Return the token of the newest invitation."""
    return lambda: token_sent(EMAIL, "invitation")


@pytest.fixture
def accept(client):
    return lambda token, password=NEW_PASSWORD: client.post(CONFIRM, json={"token": token, "new_password": password})


def log_in(client, password, email=EMAIL):
    return client.post("/api/auth/login", data={"username": email, "password": password})


def events(trail, user_id):
    return [(row["event"], row.get("by")) for row in trail.find({"user_id": user_id}, sort=[("at", 1), ("_id", 1)])]


def test_an_invited_user_chooses_a_password_which_proves_the_address(
    ask, client, admin, users, trail, invite, token, accept, emails_to
):
    user_id = invite(app_metadata={"plan": "gold"})
    shown = ask("GET", f"/{user_id}").json
    assert (shown["email_verified"], shown["app_metadata"]) == (False, {"plan": "gold"})
    assert shown["invited_at"] >= shown["created_at"]
    assert "password" not in users.find_one({"_id": user_id})
    assert [email["template"] for email in emails_to(EMAIL)] == ["invitation"]
    assert accept(token()).status_code == 204
    shown = ask("GET", f"/{user_id}").json
    assert shown["email_verified"] is True
    assert "invited_at" not in shown
    profile = log_in(client, NEW_PASSWORD)
    assert profile.status_code == 200
    assert events(trail, user_id) == [
        ("user_created", admin.id),
        ("invited", admin.id),
        ("invitation_accepted", None),
        ("login", None),
    ]


def test_an_invitation_is_accepted_on_a_page(client, invite, token):
    invite()
    page = client.get(f"/accept-invitation?token={token()}")
    assert page.status_code == 200
    assert EMAIL in page.text
    done = client.post("/accept-invitation", data={"token": token(), "new_password": NEW_PASSWORD})
    assert (done.status_code, "Welcome" in done.text) == (200, True)
    assert log_in(client, NEW_PASSWORD).status_code == 200


def test_an_invitation_is_valid_for_seven_days(app, client, invite, token, accept, move_clock):
    invite()
    text = app.test_cli_runner().invoke(args=["mail", "show"]).output
    assert "expires after 7 days" in " ".join(text.split())
    first = token()
    move_clock(days=6, hours=23)
    assert client.get(f"/accept-invitation?token={first}").status_code == 200
    move_clock(hours=2)
    assert (accept(first).status_code, accept(first).json["code"]) == (400, "invalid_one_time_token")
    assert "It was valid for 7 days." in client.get(f"/accept-invitation?token={first}").text


def test_an_expired_invitation_is_sent_again(ask, client, invite, token, accept, move_clock, admin):
    user_id = invite()
    first = token()
    move_clock(days=8)
    login = log_in(client, PASSWORD, admin.email).json
    bearer = {"Authorization": f"Bearer {login['access_token']}"}
    path = f"/api/admin/users/{user_id}/invitation"
    assert client.post(path, headers=bearer).status_code == 202
    assert accept(first).status_code == 400
    assert accept(token()).status_code == 204
    refused = client.post(path, headers=bearer)
    assert (refused.status_code, refused.json["code"]) == (409, "not_invited")


def test_an_invitation_is_used_once(invite, token, accept, client):
    invite()
    used = token()
    assert accept(used).status_code == 204
    assert accept(used, "difference-engine-no-9").status_code == 400
    assert log_in(client, NEW_PASSWORD).status_code == 200


def test_a_weak_password_does_not_use_the_link(invite, token, accept):
    invite()
    refused = accept(token(), "guest@example.com-1")
    assert (refused.status_code, set(refused.json["errors"])) == (422, {"new_password"})
    assert accept(token()).status_code == 204


def test_a_taken_address_is_not_invited(ask, account, users, emails_to):
    before = users.find_one({"_id": account.id})
    refused = ask("POST", json=invitation(email="ADA@example.com"))  # who has signed up without an invitation
    assert (refused.status_code, refused.json["code"]) == (409, "email_taken")
    assert users.find_one({"_id": account.id}) == before


def test_an_invited_address_is_taken_for_a_sign_up(client, invite, token, accept):
    invite()
    refused = client.post("/api/auth/signup", json=signup_body(email=EMAIL))
    assert (refused.status_code, refused.json["code"]) == (409, "email_taken")
    assert accept(token()).status_code == 204


def test_after_a_withdrawal_and_a_sign_up_the_old_link_does_nothing(ask, client, invite, token, accept, users):
    user_id = invite()
    old = token()
    assert ask("DELETE", f"/{user_id}/invitation").status_code == 204
    assert ask("GET", f"/{user_id}").status_code == 404
    assert client.post("/api/auth/signup", json=signup_body(email=EMAIL)).status_code == 201
    assert accept(old).status_code == 400
    assert log_in(client, NEW_PASSWORD).status_code == 401
    assert log_in(client, PASSWORD).status_code == 200
    assert users.find_one({"email": EMAIL})["_id"] != user_id


def test_after_a_deletion_the_link_does_nothing(ask, invite, token, accept, users):
    user_id = invite()
    old = token()
    assert ask("DELETE", f"/{user_id}").status_code == 204
    assert accept(old).status_code == 400
    assert users.find_one({"email": EMAIL}) is None
    assert ask("POST", f"/{user_id}/invitation").status_code == 404
    assert ask("DELETE", f"/{user_id}/invitation").status_code == 404


@pytest.mark.parametrize("change", [{"roles": ["user"]}, {"sessions": []}])
@pytest.mark.parametrize("action", ["invite", "again", "withdraw"])
def test_a_demoted_administrator_invites_nobody(ask, admin, invite, users, monkeypatch, emails_to, change, action):
    path = "" if action == "invite" else f"/{invite()}/invitation"
    before = users.find_one({"email": EMAIL})
    actor = routes._actor

    def demoted(user):
        users.update_one({"_id": admin.id}, {"$set": change})
        return actor(user)

    monkeypatch.setattr(routes, "_actor", demoted)
    method = "DELETE" if action == "withdraw" else "POST"
    refused = ask(method, path, json=invitation() if action == "invite" else None)
    assert refused.status_code == (403 if "roles" in change else 401)
    assert users.find_one({"email": EMAIL}) == before


def test_an_invitation_outlives_the_role_of_the_administrator_who_sent_it(
    client, ask, admin, second_admin, accept, token
):
    sent = client.post("/api/admin/users", json=invitation(), headers=second_admin.bearer)
    assert sent.status_code == 201
    assert ask("PUT", f"/{second_admin.id}/roles", json={"roles": ["user"]}).status_code == 200
    assert client.post("/api/admin/users", json=invitation(), headers=second_admin.bearer).status_code == 403
    assert accept(token()).status_code == 204


def test_an_invitation_is_in_the_language_of_its_reader(app, client, invite, token):
    invite(locale="de-at")
    shown = app.test_cli_runner().invoke(args=["mail", "show"]).output
    assert "Passwort wählen" in shown
    assert "/accept-invitation?locale=de&token=" in "".join(shown.split())


@pytest.mark.parametrize("action", ["POST", "DELETE"])
def test_a_user_with_a_password_is_not_invited(ask, account, users, action):
    before = users.find_one({"_id": account.id})
    refused = ask(action, f"/{account.id}/invitation")
    assert (refused.status_code, refused.json["code"]) == (409, "not_invited")
    assert users.find_one({"_id": account.id}) == before


def test_a_withdrawal_beside_an_acceptance_keeps_the_user(ask, client, invite, token, accept, before_a_write, users):
    user_id = invite()
    link = token()

    def accept_elsewhere():
        other = client.application.test_client()
        assert other.post(CONFIRM, json={"token": link, "new_password": NEW_PASSWORD}).status_code == 204

    before_a_write("users", accept_elsewhere)
    refused = ask("DELETE", f"/{user_id}/invitation")
    assert (refused.status_code, refused.json["code"]) == (409, "not_invited")
    assert log_in(client, NEW_PASSWORD).status_code == 200


def test_a_login_of_an_invited_user_looks_like_that_of_nobody(client, invite, capture_logs):
    invite()
    for password in ("", "x", PASSWORD, "None", "x" * 100):
        with capture_logs() as lines:
            answers = [log_in(client, password, email) for email in (EMAIL, "nobody@example.com")]
        assert not [line for line in lines if line["level"] in ("ERROR", "WARNING")]
        bodies = [{**answer.json, "request_id": None} for answer in answers]
        assert bodies[0] == bodies[1]
        assert answers[0].status_code == answers[1].status_code


def test_a_login_of_an_invited_user_hashes_as_much_as_that_of_nobody(client, invite, monkeypatch):
    invite()
    spent = []
    spend = verify._spend
    monkeypatch.setattr(verify, "_spend", lambda units: spent.append(units) or spend(units))
    for email in (EMAIL, "nobody@example.com"):
        assert log_in(client, PASSWORD, email).status_code == 401
    assert len(spent) == 2
    assert spent[0] == spent[1]


def test_an_invited_user_is_no_corrupt_hash_for_the_doctor(app, invite):
    invite()
    with app.app_context():
        assert count_hashes(app.extensions["services"].users).unreadable == 0


def test_an_invited_administrator_does_not_count_until_the_password_is_chosen(ask, admin, invite, token, accept):
    invite(roles=["user", "admin"])
    refused = ask("PUT", f"/{admin.id}/roles", json={"roles": ["user"]})
    assert (refused.status_code, refused.json["code"]) == (409, "last_admin")
    assert accept(token()).status_code == 204
    assert ask("PUT", f"/{admin.id}/roles", json={"roles": ["user"]}).status_code == 200


def test_a_password_reset_accepts_the_invitation_as_well(ask, client, invite, token, accept, token_sent):
    user_id = invite()
    old = token()
    client.post("/api/auth/password-reset", json={"email": EMAIL})
    body = {"token": token_sent(EMAIL, "reset_password"), "new_password": NEW_PASSWORD}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    assert "invited_at" not in ask("GET", f"/{user_id}").json
    assert accept(old, "difference-engine-no-9").status_code == 400
    assert log_in(client, NEW_PASSWORD).status_code == 200


def test_a_corrected_address_gets_the_invitation(ask, invite, token, accept, token_sent, client):
    user_id = invite()
    old = token()
    assert ask("PATCH", f"/{user_id}", json={"email": "right@example.com"}).status_code == 200
    assert accept(old).status_code == 400
    assert accept(token_sent("right@example.com", "invitation")).status_code == 204
    assert log_in(client, NEW_PASSWORD, "right@example.com").status_code == 200


def test_a_disabled_user_gets_and_uses_no_invitation(ask, invite, token, accept, emails_to):
    user_id = invite()
    link = token()
    ask("POST", f"/{user_id}/disable")
    before = len(emails_to(EMAIL))
    refused = ask("POST", f"/{user_id}/invitation")
    assert (refused.status_code, refused.json["code"]) == (409, "user_disabled")
    assert accept(link).status_code == 400
    assert len(emails_to(EMAIL)) == before


def test_an_address_gets_no_more_invitations_than_other_emails(make_app, admin, users, counts):
    client = make_app(throttle_mail_per_account="5 per hour").test_client()
    for _ in range(3):
        created = client.post("/api/admin/users", json=invitation(), headers=admin.bearer)
        assert created.status_code == 201
        path = f"/api/admin/users/{created.json['id']}/invitation"
        assert client.delete(path, headers=admin.bearer).status_code == 204
    refused = client.post("/api/admin/users", json=invitation(), headers=admin.bearer)
    assert (refused.status_code, refused.json["code"]) == (429, "rate_limited")
    assert users.find_one({"email": EMAIL}) is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (invitation() | {"password": PASSWORD}, "password"),
        (invitation(invite=False), "password"),
        (invitation(invite="true"), "invite"),
        (invitation(invite=None), "invite"),
        (invitation(email_verified=True), "email_verified"),
        (invitation(email="guest"), "email"),
        (invitation(roles=["root"]), "roles"),
        ({"email": EMAIL, "invite": True}, "birthday"),
    ],
)
def test_a_malformed_invitation_is_refused(ask, users, admin, body, field):
    refused = ask("POST", json=body)
    assert refused.status_code == 422
    assert field in refused.json["errors"]
    assert users.count_documents({}) == 1


@pytest.mark.parametrize("token", ["", "x", "a" * 59, "a" * 3000, "\u0000"])
def test_a_malformed_token_is_refused(client, token):
    response = client.post(CONFIRM, json={"token": token, "new_password": NEW_PASSWORD})
    assert response.status_code in (400, 422)
