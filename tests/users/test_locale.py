"""The language of a user: at sign-up, in the profile, changed, exported."""

import pytest

from pixora.services import services
from tests.conftest import make_account
from tests.factories import signup_body

SEED_PROFILE = {
    *("id", "first_name", "last_name", "email", "contact", "birthday", "created_at", "updated_at"),
    *("email_verified", "roles"),
}


def sign_up_in_browser(client, header="", **changes):
    return client.post("/api/auth/signup", json=signup_body(**changes), headers={"Accept-Language": header})


def test_the_locale_of_the_body_is_stored_in_its_canonical_case(client, users):
    assert sign_up_in_browser(client, "fr", locale="de-at").status_code == 201
    stored = users.find_one()
    assert stored["locale"] == "de-AT"
    assert "accept_language" not in stored


def test_otherwise_the_languages_of_the_browser_are_stored(client, users):
    assert sign_up_in_browser(client, "de-AT,de;q=0.9,en;q=0.8").status_code == 201
    stored = users.find_one()
    assert stored["accept_language"] == ["de-AT", "de", "en"]
    assert "locale" not in stored


@pytest.mark.parametrize("header", ["", "*", "x" * 5000, "de_AT"])
def test_without_any_nothing_is_stored(client, users, header):
    assert sign_up_in_browser(client, header).status_code == 201
    assert not users.find_one().keys() & {"locale", "accept_language"}


@pytest.mark.parametrize("locale", ["", "d", "de_AT", "../de", "de\n", "x" * 36, "dé", None, 7, ["de"], "de\x00"])
def test_a_malformed_locale_is_refused(client, account, locale):
    response = sign_up_in_browser(client, email="grace@example.com", locale=locale)
    assert (response.status_code, list(response.json["errors"])) == (422, ["locale"])
    if locale is not None:
        response = client.patch("/api/users/me", json={"locale": locale}, headers=account.bearer)
        assert (response.status_code, list(response.json["errors"])) == (422, ["locale"])


def test_the_profile_has_the_locale_once_it_is_chosen(client, users):
    account = make_account(client)
    users.update_one({}, {"$set": {"accept_language": ["fr"]}})
    before = client.get("/api/users/me", headers=account.bearer)
    assert set(before.json) == SEED_PROFILE
    changed = client.patch("/api/users/me", json={"locale": "de"}, headers=account.bearer)
    assert changed.json["locale"] == "de"
    assert changed.headers["ETag"] != before.headers["ETag"]
    assert client.get("/api/users/me", headers=account.bearer).json["locale"] == "de"
    assert set(client.patch("/api/users/me", json={"locale": None}, headers=account.bearer).json) == SEED_PROFILE


def test_the_export_has_the_locale_and_the_languages_of_the_browser(client, users, account):
    users.update_one({}, {"$set": {"accept_language": ["fr", "en"]}})
    client.patch("/api/users/me", json={"locale": "de"}, headers=account.bearer)
    exported = client.get("/api/users/me/export", headers=account.bearer).json
    assert exported["profile"]["locale"] == "de"
    assert exported["accept_language"] == ["fr", "en"]


def test_the_verification_email_is_in_the_language_of_the_browser(app, client):
    sign_up_in_browser(client, "de")
    with app.app_context():
        [claimed] = services.outbox.list_emails()
    assert claimed.recipient.languages == ("de",)
