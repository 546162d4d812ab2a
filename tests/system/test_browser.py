"""/docs in a real browser, on a real server."""

import json
import shutil
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.factories import PASSWORD, signup_body

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # what tries to leave is seen here, but does not
]


@pytest.fixture(scope="module")
def url(gunicorn):
    with gunicorn() as url:
        yield url


@pytest.fixture(scope="module")
def user(url):
    """Someone who has signed up."""
    body = signup_body()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/auth/signup", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return body | json.load(response)


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, f"There is none of {', '.join(NAMES)} on PATH: on Debian, apt-get install chromium."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Page:
    """/docs, with what it has asked for and complained of so far."""

    def __init__(self, context, url):
        self.requests = []
        self.complaints = []
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._on_console)
        self.page = context.new_page()
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.goto(f"{url}/docs")

    def _on_console(self, message):
        if message.type in ("error", "warning"):  # breaches of the Content-Security-Policy are errors
            self.complaints.append(message.text)

    @property
    def dialog(self):
        return self.page.locator(".dialog-ux")

    def authorize(self, username, password):
        """Fill in the dialog, which stays open."""
        self.page.get_by_role("button", name="Authorize", exact=True).click()
        self.dialog.get_by_label("username:").fill(username)
        self.dialog.get_by_label("password:").fill(password)
        self.dialog.get_by_role("button", name="Apply given OAuth2 credentials").click()

    def close_dialog(self):
        self.dialog.get_by_role("button", name="Close").click()
        expect(self.dialog).to_be_hidden()

    def try_get_me(self):
        """Execute GET /api/users/me; return where its live answer appears."""
        operation = self.page.locator(".opblock", has=self.page.locator("[data-path='/api/users/me']"))
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        return operation.locator(".live-responses-table tr.response")


@pytest.fixture
def docs(browser, url):
    with browser.new_context() as context:
        yield Page(context, url)


def test_a_reader_authorizes_and_reads_their_profile_with_nothing_from_elsewhere(docs, url, user):
    docs.authorize(user["email"], PASSWORD)
    expect(docs.dialog.get_by_role("button", name="Remove authorization")).to_be_visible()
    docs.close_dialog()
    answer = docs.try_get_me()
    expect(answer).to_contain_text("200")
    expect(answer).to_contain_text(f'"id": "{user["id"]}"')
    expect(answer).to_contain_text(f'"email": "{user["email"]}"')

    assert {f"{url}/docs", f"{url}/api/auth/login", f"{url}/api/users/me"} <= set(docs.requests)
    assert {urllib.parse.urlsplit(request).netloc for request in docs.requests} == {urllib.parse.urlsplit(url).netloc}
    assert docs.complaints == []


def test_a_wrong_password_in_the_dialog_is_refused_and_authorizes_nothing(docs, user):
    docs.authorize(user["email"], PASSWORD + "!")
    expect(docs.dialog.locator(".errors")).to_contain_text("Unauthorized", ignore_case=True)
    expect(docs.dialog.get_by_role("button", name="Remove authorization")).to_be_hidden()
    docs.close_dialog()
    answer = docs.try_get_me()
    expect(answer).to_contain_text("401")
    expect(answer).to_contain_text("missing_token")
