"""`/verify-email/again`: a new link for users who cannot log in until they have verified their e-mail address."""

import html
import re

import pytest

from pixora import clock
from pixora.mail.rendering import render
from pixora.pages import texts
from tests.factories import PASSWORD, log_in, sign_up

PAGE = "/verify-email/again"
EMAIL = "ada@example.com"


@pytest.fixture
def strict(make_app, users, counts):
    """A client of a service where Ada has signed up and cannot log in yet."""
    app = make_app(REQUIRE_VERIFIED_EMAIL=True, THROTTLE_MAIL_PER_ACCOUNT="3 per hour")
    client = app.test_client()
    assert sign_up(client).status_code == 201
    return client


def send(client, email=EMAIL, password=PASSWORD):
    return client.post(PAGE, data={"email": email, "password": password})


@pytest.mark.parametrize("hours", [24, 100])
def test_the_pages_lead_from_an_expired_link_to_a_login(strict, token_sent, move_clock, hours):
    move_clock(hours=hours)
    expired = strict.get(f"/verify-email?token={token_sent(EMAIL, 'verify_email')}")
    assert (expired.status_code, "This link has expired" in expired.text) == (400, True)
    [url] = re.findall('<a href="(.*?)">Get a new link</a>', expired.text)
    page = strict.get(url)
    assert page.status_code == 200
    assert re.findall('<form method="post" action="(.*?)">', page.text) == [url]
    assert re.findall('<input .*?name="(.*?)"', page.text) == ["email", "password"]
    sent = send(strict)
    assert (sent.status_code, texts.NEW_LINK_SENT.heading in sent.text) == (202, True)
    fields = {"token": token_sent(EMAIL, "verify_email"), "password": PASSWORD}
    assert strict.post("/verify-email", data=fields).status_code == 200
    assert log_in(strict, EMAIL).status_code == 200


def test_the_page_of_a_replaced_link_leads_to_a_new_one(strict, token_sent):
    token = token_sent(EMAIL, "verify_email")
    assert send(strict).status_code == 202
    assert f'<a href="{PAGE}">' in strict.get(f"/verify-email?token={token}").text


def test_the_email_about_an_existing_account_leads_to_a_new_link(app):
    email = {"template": "address_taken", "created_at": clock.utcnow(), "context": {}}
    with app.test_request_context():
        content = render(email, None, None)
    assert f"http://127.0.0.1:8000{PAGE}" in content.text
    assert PAGE in content.html


@pytest.mark.parametrize(
    "fields",
    [
        *({"email": EMAIL, "password": "wrong"}, {"email": "nobody@example.com", "password": PASSWORD}),
        *({"email": "", "password": ""}, {"email": EMAIL}, {"email": "\0", "password": "x"}),
        *({"email": "<script>", "password": "x"}, {"email": EMAIL, "password": PASSWORD, "x": "y"}),
    ],
)
def test_wrong_credentials_get_no_link_and_no_reason(strict, emails_to, fields):
    response = strict.post(PAGE, data=fields)
    assert response.status_code == 401
    assert html.escape(texts.WRONG_CREDENTIALS) in response.text
    assert "<script>" not in response.text
    assert len(emails_to(EMAIL)) == 1


def test_a_verified_user_is_told_to_sign_in(strict, users, emails_to):
    users.update_one({}, {"$set": {"email_verified": True}})
    response = send(strict)
    assert (response.status_code, texts.ALREADY_VERIFIED.heading in response.text) == (200, True)
    assert len(emails_to(EMAIL)) == 1


def test_the_number_of_emails_is_limited(strict, emails_to):
    answers = [send(strict) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[-1].headers["Retry-After"]) > 60
    assert "too many attempts" in answers[-1].text
    assert len(emails_to(EMAIL)) == 3


def test_wrong_passwords_count_as_failed_logins(make_app, users, counts):
    client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per hour").test_client()
    sign_up(client)
    assert [send(client, password="wrong").status_code for _ in range(3)] == [401, 401, 429]
    assert log_in(client, EMAIL).status_code == 429


def test_a_password_changed_in_the_meantime_sends_nothing(strict, users, emails_to, before_a_write):
    before_a_write("users", lambda: users.update_one({}, {"$set": {"password": "another"}}))
    assert send(strict).status_code == 401
    assert len(emails_to(EMAIL)) == 1


def test_the_page_has_the_headers_of_all_pages(strict):
    for response in (strict.get(PAGE), send(strict)):
        assert response.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "Set-Cookie" not in response.headers
