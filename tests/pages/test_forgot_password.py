"""`/forgot-password`: a link to choose a new password, for anybody who knows an address."""

import pytest
from mongod import free_port

from pixora.pages import texts

PAGE = "/forgot-password"


def test_the_pages_lead_from_an_expired_link_to_a_new_password(client, account, token_sent, move_clock):
    client.post(PAGE, data={"email": account.email})
    move_clock(minutes=31)
    expired = client.get(f"/reset-password?token={token_sent(account.email, 'reset_password')}")
    assert (expired.status_code, f'<a href="{PAGE}">Get a new link</a>' in expired.text) == (400, True)
    form = client.get(PAGE)
    assert f'<form method="post" action="{PAGE}">' in form.text
    sent = client.post(PAGE, data={"email": account.email.upper()})
    assert (sent.status_code, texts.RESET_LINK_SENT.heading in sent.text) == (202, True)
    assert f'<a href="{PAGE}">Send the link again</a>' in sent.text
    fields = {"token": token_sent(account.email, "reset_password"), "new_password": "analytical-engine-no-1"}
    assert client.post("/reset-password", data=fields).status_code == 200


def test_the_answer_does_not_say_whether_there_is_an_account(client, account, emails_to):
    answers = [client.post(PAGE, data={"email": email}) for email in (account.email, "nobody@example.com", "x")]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    assert "reset_password" in [email["template"] for email in emails_to(account.email)]


@pytest.mark.parametrize("fields", [{}, {"email": ""}, {"email": "  "}, {"email": "\0"}])
def test_without_an_address_the_form_is_shown_again(client, fields):
    response = client.post(PAGE, data=fields, content_type="application/x-www-form-urlencoded")
    assert (response.status_code, texts.NO_EMAIL in response.text) == (422, True)
    assert f'action="{PAGE}"' in response.text


@pytest.mark.parametrize("fields", [{"email": "a@example.com", "x": "y"}, {"email": ["a@example.com"] * 2}])
def test_an_unreadable_form_is_refused(client, fields):
    response = client.post(PAGE, data=fields)
    assert response.status_code == 422


def test_what_was_typed_is_escaped(client):
    response = client.post(PAGE, data={"email": "<script>\0"})
    assert "<script>" not in response.text.replace('<script src="/static', "")


def test_too_many_requests_of_a_network_are_refused_with_the_time_to_wait(make_app, users, counts):
    client = make_app(THROTTLE_MAIL_PER_IP="1 per hour").test_client()
    answers = [client.post(PAGE, data={"email": "ada@example.com"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 429]
    assert "too many attempts" in answers[1].text
    assert int(answers[1].headers["Retry-After"]) > 60


def test_without_a_database_the_form_is_shown_to_send_again(make_app, users):
    client = make_app(MONGO_URI=f"mongodb://127.0.0.1:{free_port()}/pixora", DATABASE_TIMEOUT_MS=100).test_client()
    response = client.post(PAGE, data={"email": "ada@example.com"})
    assert (response.status_code, texts.UNAVAILABLE in response.text) == (503, True)
    assert 'value="ada@example.com"' in response.text
