"""/docs in a real browser."""

import json
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.factories import PASSWORD, signup_body
from tests.system.browser import Visit
from tests.timeouts import LONG


@pytest.fixture(scope="module")
def url(gunicorn):
    with gunicorn() as url:
        yield url


@pytest.fixture(scope="module")
def user(url):
    """A user who has signed up."""
    body = signup_body()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/auth/signup", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=LONG) as response:
        return body | json.load(response)


class Page(Visit):
    """The page /docs."""

    def __init__(self, context, url):
        super().__init__(context)
        self.page.goto(f"{url}/docs")

    @property
    def dialog(self):
        return self.page.locator(".dialog-ux")

    def authorize(self, username, password):
        """Fill in and send the dialog, which stays open."""
        self.page.get_by_role("button", name="Authorize", exact=True).click()
        self.dialog.get_by_label("username:").fill(username)
        self.dialog.get_by_label("password:").fill(password)
        self.dialog.get_by_role("button", name="Apply given OAuth2 credentials").click()

    def close_dialog(self):
        self.dialog.get_by_role("button", name="Close").click()
        expect(self.dialog).to_be_hidden()

    def try_get_me(self):
        """Execute GET /api/users/me; return the element with the response."""
        operation = self.page.locator(".opblock-get", has=self.page.locator("[data-path='/api/users/me']"))
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        return operation.locator(".live-responses-table tr.response")


@pytest.fixture
def docs(browser, url):
    with browser.new_context() as context:
        yield Page(context, url)


def test_a_reader_signs_in_and_reads_their_profile_without_external_requests(docs, url, user):
    docs.authorize(user["email"], PASSWORD)
    expect(docs.dialog.get_by_role("button", name="Remove authorization")).to_be_visible()
    docs.close_dialog()
    answer = docs.try_get_me()
    expect(answer).to_contain_text("200")
    expect(answer).to_contain_text(f'"id": "{user["id"]}"')
    expect(answer).to_contain_text(f'"email": "{user["email"]}"')

    assert {f"{url}/docs", f"{url}/api/auth/token", f"{url}/api/users/me"} <= set(docs.requests)
    assert {urllib.parse.urlsplit(request).netloc for request in docs.requests} == {urllib.parse.urlsplit(url).netloc}
    assert docs.complaints == []


def test_a_reader_stays_signed_in_over_a_reload(docs, user):
    docs.authorize(user["email"], PASSWORD)
    expect(docs.dialog.get_by_role("button", name="Remove authorization")).to_be_visible()
    docs.page.reload()
    expect(docs.try_get_me()).to_contain_text("200")


def test_nothing_that_must_stay_empty_is_asked_for_or_sent(docs, user):
    with docs.page.expect_request("**/api/auth/**") as sent:
        docs.authorize(user["email"], PASSWORD)
    assert "authorization" not in sent.value.headers
    assert set(urllib.parse.parse_qs(sent.value.post_data)) == {"grant_type", "username", "password"}
    login = docs.dialog.locator(".auth-container", has_text="OAuth2")
    expect(login.locator("input:visible, select:visible")).to_have_count(0)  # once signed in
    docs.dialog.get_by_role("button", name="Remove authorization").click()
    expect(login.locator("input:visible, select:visible")).to_have_count(2)


def test_a_form_has_the_values_of_its_example(docs):
    operation = docs.page.locator("#operations-auth-logIn")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    fields = operation.locator(".opblock-section-request-body input:not([type=checkbox])")
    expect(fields.first).to_be_visible()
    values = {field.input_value() for field in fields.all()}
    assert values == {"", "ada@example.com", PASSWORD}


def test_no_markdown_is_shown_as_it_is(docs):
    docs.page.locator("#operations-users-listEvents .opblock-summary-control").click()
    expect(docs.page.locator("#operations-users-listEvents .parameters")).to_be_visible()
    assert "`" not in docs.page.locator("#swagger-ui").inner_text()


def test_a_wrong_password_is_refused(docs, user):
    docs.authorize(user["email"], PASSWORD + "!")
    expect(docs.dialog.locator(".errors")).to_contain_text("invalid_grant, description: Incorrect email or password")
    expect(docs.dialog.get_by_role("button", name="Remove authorization")).to_be_hidden()
    docs.close_dialog()
    answer = docs.try_get_me()
    expect(answer).to_contain_text("401")
    expect(answer).to_contain_text("missing_token")
