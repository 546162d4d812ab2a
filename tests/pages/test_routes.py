import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import pytest
from mongod import free_port

from pixora.accounts.one_time_tokens import OneTimeTokenStore
from pixora.admin import invitations
from pixora.admin.changes import OPERATOR
from pixora.errors import Overloaded
from pixora.mail.rendering import LINK_PATHS
from pixora.pages import texts
from pixora.pages.forms import FORMS
from pixora.passwords.queue import HashingQueue
from pixora.tokens.one_time import OneTimeToken
from pixora.web.middleware import HEADERS
from tests.conftest import make_account
from tests.factories import PASSWORD, log_in, sign_up, signup_body

NEW_PASSWORD = "analytical-engine-no-1"
NEW_EMAIL = "lovelace@example.com"
GUEST = "guest@example.com"
FORM_TYPE = "application/x-www-form-urlencoded"
PATHS = [form.path for form in FORMS.values() if form.has_token]
WITH_PASSWORD = ["/verify-email", "/reset-password", "/accept-invitation"]
FIELDS = {
    "/verify-email": {"password": PASSWORD},
    "/reset-password": {"new_password": NEW_PASSWORD},
    "/accept-invitation": {"new_password": NEW_PASSWORD},
    "/confirm-email": {},
}
DONE = {
    "/verify-email": texts.EMAIL_VERIFIED,
    "/reset-password": texts.PASSWORD_CHANGED,
    "/accept-invitation": texts.INVITATION_ACCEPTED,
    "/confirm-email": texts.EMAIL_CHANGED,
}


class Document(HTMLParser):
    """The elements of a page, by name, with their attributes; and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.setdefault(tag, []).append(dict(attributes))

    def handle_data(self, data):
        self.text += data

    def input(self, name):
        [found] = [field for field in self.elements["input"] if field.get("name") == name]
        return found

    def by_id(self, name):
        [found] = [one for many in self.elements.values() for one in many if one.get("id") == name]
        return found


@pytest.fixture
def token_for(app, client, account, token_sent):
    """Make the token for a page."""

    def token_for(path):
        if path == "/verify-email":
            return token_sent(account.email, "verify_email")
        if path == "/reset-password":
            client.post("/api/auth/password-reset", json={"email": account.email})
            return token_sent(account.email, "reset_password")
        if path == "/accept-invitation":
            with app.app_context():
                invitations.invite(signup_body(email=GUEST), OPERATOR)
            return token_sent(GUEST, "invitation")
        body = {"email": NEW_EMAIL, "password": PASSWORD}
        assert client.post("/api/users/me/email", json=body, headers=account.bearer).status_code == 202
        return token_sent(NEW_EMAIL, "change_email")

    return token_for


def send(client, path, token, **fields):
    return client.post(path, data={"token": token} | (fields or FIELDS[path]))


def test_every_link_in_an_email_has_its_page():
    assert {form.purpose.value: form.path for form in FORMS.values() if form.has_token} == LINK_PATHS


@pytest.mark.parametrize("path", PATHS)
def test_a_valid_link_shows_a_form_and_changes_nothing(client, token_for, users, path):
    token = token_for(path)
    before = users.find_one()
    for _ in range(3):
        response = client.get(f"{path}?token={token}")
        assert response.status_code == 200
        assert client.head(f"{path}?token={token}").status_code == 200
    page = Document(response.text)
    assert page.input("token")["value"] == token
    assert page.elements["form"] == [{"method": "post", "action": path}]
    assert users.find_one() == before


@pytest.mark.parametrize("path", PATHS)
def test_extra_query_parameters_are_ignored(client, token_for, path):
    assert client.get(f"{path}?utm_source=mail&token={token_for(path)}&fbclid=x").status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_form_works_once(client, token_for, path):
    token = token_for(path)
    response = send(client, path, token)
    assert (response.status_code, DONE[path].heading in response.text) == (200, True)
    again = send(client, path, token)
    assert (again.status_code, "This link no longer works" in again.text) == (400, True)


@pytest.mark.parametrize("path", PATHS)
def test_of_many_requests_at_once_one_succeeds(app, token_for, path):
    token = token_for(path)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(app.test_client(), path, token).status_code, range(8)))
    assert sorted(answers) == [200] + 7 * [400]


def test_a_confirmed_address_is_verified(client, account, token_for):
    send(client, "/verify-email", token_for("/verify-email"))
    assert client.get("/api/users/me", headers=account.bearer).json["email_verified"] is True


def test_the_new_password_logs_in_and_every_session_has_ended(client, account, token_for):
    send(client, "/reset-password", token_for("/reset-password"))
    assert log_in(client, account.email, NEW_PASSWORD).status_code == 200
    assert client.get("/api/users/me", headers=account.bearer).status_code == 401


def test_the_new_address_is_used(client, account, token_for):
    send(client, "/confirm-email", token_for("/confirm-email"))
    assert client.get("/api/users/me", headers=account.bearer).json["email"] == NEW_EMAIL


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["", "?token=", "?token=x", "?token=%00%ff", "?token=a&token=b", "?Token=x"])
def test_a_malformed_link_is_reported(client, path, query):
    response = client.get(path + query)
    assert (response.status_code, texts.MALFORMED.heading in response.text) == (400, True)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "x", "x" * 59, "\x00", "<script>alert(1)</script>"])
def test_a_malformed_token_in_a_form_is_reported(client, path, token):
    response = send(client, path, token)
    assert (response.status_code, texts.MALFORMED.heading in response.text) == (400, True)
    assert "alert(1)" not in response.text


@pytest.mark.parametrize("path", PATHS)
def test_a_form_without_a_token_is_reported(client, path):
    response = client.post(path, data=FIELDS[path], content_type=FORM_TYPE)
    assert (response.status_code, texts.MALFORMED.heading in response.text) == (400, True)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", PATHS)
def test_an_expired_link_is_reported(client, token_for, move_clock, path, method):
    token = token_for(path)
    move_clock(days=7 if path == "/accept-invitation" else 1)
    response = client.get(f"{path}?token={token}") if method == "get" else send(client, path, token)
    assert (response.status_code, "This link has expired" in response.text) == (400, True)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", PATHS)
def test_a_link_of_another_purpose_or_user_looks_like_a_used_one(client, account, token_for, path, method):
    others = [token_for(other) for other in PATHS if other != path]
    for token in [*others, OneTimeToken.make(account.id).text, OneTimeToken.make("0" * 24).text]:
        response = client.get(f"{path}?token={token}") if method == "get" else send(client, path, token)
        assert (response.status_code, "This link no longer works" in response.text) == (400, True)


def test_an_email_taken_in_the_meantime_is_reported(client, token_for):
    token = token_for("/confirm-email")
    make_account(client, email=NEW_EMAIL)
    response = send(client, "/confirm-email", token)
    assert (response.status_code, texts.EMAIL_TAKEN.heading in response.text) == (409, True)


def assert_can_be_sent_again(response, path, token):
    """Assert that the form has the token and no password, and that the password field has the focus."""
    page = Document(response.text)
    assert page.input("token")["value"] == token
    field = page.input(next(iter(FIELDS[path])))
    assert "autofocus" in field
    assert "value" not in field
    return page, field


@pytest.mark.parametrize(
    "password", ["not the password", " " + PASSWORD, "<b>not</b>", "x" * 200, "é" * 100, "$ne", '{"$ne": ""}']
)
def test_a_wrong_password_is_reported_at_its_field_and_can_be_corrected(client, token_for, password):
    token = token_for("/verify-email")
    response = send(client, "/verify-email", token, password=password)
    assert response.status_code == 403
    page, field = assert_can_be_sent_again(response, "/verify-email", token)
    assert texts.WRONG_PASSWORD in page.text
    assert "<b>" not in response.text
    assert field["aria-invalid"] == "true"
    assert [page.by_id(name) for name in field["aria-describedby"].split()]
    assert send(client, "/verify-email", token).status_code == 200


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("short", "Must have at least 12 characters."),
        ("password1234", "common password"),
        ("LovelaceLovelace", "Add another word or two."),
        ("é" * 40, "Must have at most 72 bytes in UTF-8"),
        ("nul\x00nul\x00nul\x00nul", "Must not contain NUL"),
    ],
)
def test_a_weak_new_password_is_reported_with_advice_and_leaves_the_link_valid(client, token_for, password, message):
    token = token_for("/reset-password")
    response = send(client, "/reset-password", token, new_password=password)
    assert response.status_code == 422
    page, field = assert_can_be_sent_again(response, "/reset-password", token)
    assert message in page.text
    assert password not in response.text
    assert field["aria-invalid"] == "true"
    assert [page.by_id(name) for name in field["aria-describedby"].split()]
    assert send(client, "/reset-password", token).status_code == 200


@pytest.mark.parametrize("path", WITH_PASSWORD)
def test_an_empty_password_is_not_an_attempt(client, token_for, counts, path):
    token = token_for(path)
    counts.delete_many({})
    response = client.post(path, data={"token": token} | dict.fromkeys(FIELDS[path], ""))
    assert (response.status_code, texts.NO_PASSWORD in response.text) == (422, True)
    assert_can_be_sent_again(response, path, token)
    assert counts.count_documents({}) == 0


def test_too_many_wrong_passwords_are_refused_with_the_time_to_wait(make_app, counts, token_for):
    client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per 15 minute").test_client()
    token = token_for("/verify-email")
    assert [send(client, "/verify-email", token, password="wrong").status_code for _ in range(2)] == [403, 403]
    response = send(client, "/verify-email", token)
    assert response.status_code == 429
    assert 800 < int(response.headers["Retry-After"]) <= 900
    page, _ = assert_can_be_sent_again(response, "/verify-email", token)
    assert "Try again in 15 minutes." in page.text


@pytest.mark.parametrize("path", WITH_PASSWORD)
def test_an_overloaded_service_shows_the_form_again_and_leaves_the_link_valid(client, token_for, monkeypatch, path):
    token = token_for(path)

    def refuse(*args, **kwargs):
        raise Overloaded

    with monkeypatch.context() as patch:
        patch.setattr(HashingQueue, "run", refuse)
        response = send(client, path, token)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    page, _ = assert_can_be_sent_again(response, path, token)
    assert texts.OVERLOADED in page.text
    assert send(client, path, token).status_code == 200


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", PATHS)
def test_without_a_database_the_form_is_shown_to_send_again(make_app, account, path, method):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    client = make_app(MONGO_URI=uri, DATABASE_TIMEOUT_MS=100).test_client()
    token = OneTimeToken.make(account.id).text
    response = client.get(f"{path}?token={token}") if method == "get" else send(client, path, token)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    page = Document(response.text)
    assert texts.UNAVAILABLE in page.text
    assert page.input("token")["value"] == token


def test_an_unexpected_error_is_a_page(make_app, monkeypatch):
    app = make_app()
    app.config["PROPAGATE_EXCEPTIONS"] = False
    client = app.test_client()

    def fail(*args):
        raise RuntimeError

    monkeypatch.setattr(OneTimeTokenStore, "find_user", fail)
    response = client.get(f"/verify-email?token={OneTimeToken.make('0' * 24).text}")
    assert (response.status_code, texts.SERVER_ERROR.heading in response.text) == (500, True)
    assert_has_the_headers(response)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("status", "request_as"),
    [
        (415, {"json": {"token": "x"}}),
        (415, {"data": "token=x", "content_type": "text/plain"}),
        (415, {"data": "token=x", "content_type": FORM_TYPE, "headers": [("Content-Encoding", "gzip")]}),
        (400, {"data": b"token=%ff", "content_type": FORM_TYPE}),
        (413, {"data": {"token": "x" * 20000}}),
        (422, {"data": {"token": ["x", "y"]}}),
    ],
)
def test_an_unreadable_form_is_refused_with_a_page(client, path, status, request_as):
    response = client.post(path, **request_as)
    assert response.status_code == status
    assert texts.UNREADABLE_FORM.heading in response.text
    assert_has_the_headers(response)


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_field_is_refused(client, token_for, path):
    token = token_for(path)
    response = send(client, path, token, **FIELDS[path], role="admin")
    assert (response.status_code, texts.UNREADABLE_FORM.heading in response.text) == (422, True)
    assert send(client, path, token).status_code == 200


@pytest.mark.parametrize("path", WITH_PASSWORD)
def test_a_form_without_a_password_is_shown_again(client, token_for, path):
    token = token_for(path)
    response = client.post(path, data={"token": token})
    assert response.status_code == 422
    assert_can_be_sent_again(response, path, token)


def assert_has_the_headers(response):
    headers = response.headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert headers["X-Request-ID"]
    assert set(HEADERS) <= set(headers.keys())
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("path", PATHS)
def test_every_page_has_the_headers_and_sets_no_cookie(client, token_for, path):
    token = token_for(path)
    assert_has_the_headers(client.get(path))
    assert_has_the_headers(client.get(f"{path}?token={token}"))
    assert_has_the_headers(send(client, path, token, password="wrong"))
    assert_has_the_headers(send(client, path, token))


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_no_inline_script_and_loads_nothing_from_elsewhere(client, token_for, path):
    for page in (client.get(path), client.get(f"{path}?token={token_for(path)}")):
        assert not re.search(r"<script>|style=|\son\w+=|<style", page.text)
        loaded = set(re.findall(r'<(?:link|script|img)[^>]*(?:src|href)="([^"]*)"', page.text))
        assert loaded - {"/static/pages.js"} == {"/static/pages.css", "/static/icon.svg"}
        assert all(url.startswith("/") for url in re.findall(r'(?:src|href)="([^"]*)"', page.text))


@pytest.mark.parametrize("name", ["pages.css", "pages.js", "icon.svg"])
def test_style_sheet_and_icon_are_served(client, name):
    with client.get(f"/static/{name}") as response:
        assert response.status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_a_language_and_a_title_with_its_state(client, token_for, path):
    token = token_for(path)
    assert f"<title>{FORMS[path].texts.heading} – Pixora</title>" in client.get(f"{path}?token={token}").text
    assert f"<title>{texts.MALFORMED.heading} – Pixora</title>" in client.get(path).text
    done = send(client, path, token)
    assert f"<title>{DONE[path].heading} – Pixora</title>" in done.text
    assert Document(done.text).elements["html"] == [{"lang": "en"}]


@pytest.mark.parametrize(("path", "hint"), [("/verify-email", "current-password"), ("/reset-password", "new-password")])
def test_password_managers_find_the_user_and_the_kind_of_password(client, account, token_for, path, hint):
    page = Document(client.get(f"{path}?token={token_for(path)}").text)
    assert page.input(next(iter(FIELDS[path])))["autocomplete"] == hint
    email = page.by_id("email")
    assert (email["autocomplete"], email["value"]) == ("username", account.email)
    assert "readonly" in email
    assert "name" not in email
    assert [label["for"] for label in page.elements["label"]] == ["email", "password"]


def test_the_new_email_is_shown_before_it_is_confirmed(client, token_for):
    assert NEW_EMAIL in client.get(f"/confirm-email?token={token_for('/confirm-email')}").text


def test_the_minimum_length_is_shown(make_app, token_for):
    client = make_app(PASSWORD_MIN_LENGTH=15).test_client()
    assert "At least 15 characters." in client.get(f"/reset-password?token={token_for('/reset-password')}").text


def test_the_name_of_the_service_is_escaped(make_app):
    client = make_app(MAIL_FROM='"Tom & <Jerry>" <post@example.com>').test_client()
    assert "<header>Tom &amp; &lt;Jerry&gt;</header>" in client.get("/verify-email").text


def test_neither_token_nor_password_is_logged(client, token_for, capture_logs):
    token = token_for("/verify-email")
    with capture_logs() as lines:
        client.get(f"/verify-email?token={token}")
        send(client, "/verify-email", token, password="not the password")
        send(client, "/verify-email", token)
    assert token not in str(lines)
    assert "not the password" not in str(lines)
    assert PASSWORD not in str(lines)


@pytest.mark.parametrize(
    ("seconds", "wait"), [(1, "a minute"), (60, "a minute"), (61, "2 minutes"), (900, "15 minutes"), (7300, "2 hours")]
)
def test_the_time_to_wait_is_in_minutes_or_hours(seconds, wait):
    assert texts.rate_limited(seconds).endswith(f" in {wait}.")


def test_a_sign_up_is_verified_without_further_api_calls(client, token_sent):
    sign_up(client, email="grace@example.com")
    token = token_sent("grace@example.com", "verify_email")
    assert send(client, "/verify-email", token).status_code == 200
