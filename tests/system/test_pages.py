"""The pages in a real browser, from a sign-up through the links in e-mails that a real SMTP server receives.

`--screenshots FOLDER` saves a picture of every page: on a telephone and a desktop, light and dark.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime

import pymongo
import pytest
from mongod import Mongod, free_port
from playwright.sync_api import expect

from tests import smtp_server
from tests.factories import PASSWORD, log_in, sign_up
from tests.system.browser import Visit
from tests.system.client import Client
from tests.system.conftest import ROOT

NEW_PASSWORD = "analytical-engine-no-1"
SENDER = "Example <no-reply@example.com>"
SIZES = {"phone": (375, 667), "desktop": (1280, 800)}


class Service:
    """A running service, its SMTP server, and calls of its API."""

    def __init__(self, url, smtp, environment):
        self.url, self.smtp, self.environment = url, smtp, environment
        self.client = Client(url)

    def sign_up(self):
        """Create an account and return its e-mail address."""
        email = f"ada-{secrets.token_hex(4)}@example.com"
        sign_up(self.client, email=email)
        return email

    def log_in(self, email, password=PASSWORD):
        return log_in(self.client, email, password).json["access_token"]

    def is_refused(self, email, password):
        return log_in(self.client, email, password).status_code == 401

    def profile(self, token):
        return self.client.get("/api/users/me", headers={"Authorization": f"Bearer {token}"}).json

    def link_sent_to(self, email):
        """Send the e-mails that are due, and return the link in the newest one to an address."""
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "mail", "send"]
        run = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr
        messages = [received.message for received in self.smtp.received if received.recipient == email]
        [link] = re.findall(r"http\S+", messages[-1].get_body(["plain"]).get_content())
        return link

    def link_to(self, page, email=None):
        """Return a link to a page, for the user with this address or a new one."""
        email = email or self.sign_up()
        if page == "reset-password":
            self.client.post("/api/auth/password-reset", json={"email": email})
        elif page == "confirm-email":
            new = {"email": f"new-{email}", "password": PASSWORD}
            bearer = {"Authorization": f"Bearer {self.log_in(email)}"}
            self.client.post("/api/users/me/email", json=new, headers=bearer)
            email = new["email"]
        return self.link_sent_to(email)

    def database(self):
        return pymongo.MongoClient(self.environment["MONGO_URI"])


def service_of(gunicorn, mongo_uri, smtp, **changes):
    environment = {
        "MONGO_URI": mongo_uri,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "MAIL_FROM": SENDER,
        **changes,
    }
    return gunicorn(**environment), environment | {
        "PIXORA_ENV": "testing",
        "PATH": os.environ["PATH"],
        "SMTP_URL": smtp.url,
    }


@pytest.fixture(scope="module")
def smtp():
    with smtp_server.running(free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def service(gunicorn, mongo_uri, smtp):
    running, environment = service_of(gunicorn, mongo_uri.replace("?", "_pages?"), smtp)
    with running as url:
        yield Service(url, smtp, environment | {"PUBLIC_URL": url})


class Page(Visit):
    """One of our pages; its screenshots go to `folder`, if set."""

    def __init__(self, context, folder):
        super().__init__(context)
        self._folder = folder

    def open(self, url):
        self.page.goto(url)

    def is_headed(self, heading):
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading.replace("e-mail", "e\u2011mail"))

    def enter(self, label, text, button):
        self.page.get_by_label(label).fill(text)
        self.page.get_by_role("button", name=button).click()

    def look(self, name):
        """Take screenshots, and assert that nothing is wider than the screen."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            for size, (width, height) in SIZES.items():
                self.page.set_viewport_size({"width": width, "height": height})
                assert self.page.evaluate("document.documentElement.scrollWidth") <= width
                if self._folder:
                    self.page.screenshot(path=self._folder / f"{name}-{size}-{scheme}.png")


@pytest.fixture
def page(browser, request):
    context = browser.new_context()
    folder = request.config.getoption("screenshots")
    page = Page(context, folder)
    yield page
    hosts = {urllib.parse.urlsplit(url).hostname for url in page.requests}
    assert hosts == {"127.0.0.1"}
    # The browser reports every error status; that is not a fault of the page.
    assert [text for text in page.complaints if "the server responded with a status of" not in text] == []
    context.close()


def test_an_email_is_verified_with_the_link_and_the_password(service, page):
    email = service.sign_up()
    page.open(service.link_to("verify-email", email))
    page.is_headed("Verify your e-mail address")
    expect(page.page).to_have_title("Verify your e-mail address – Example")
    expect(page.page.get_by_label("E-mail address")).to_have_value(email)
    expect(page.page.get_by_label("Password")).to_be_focused()
    page.look("verify-email-form")
    token = service.log_in(email)
    assert service.profile(token)["email_verified"] is False

    page.enter("Password", "not the password", "Verify e-mail address")
    expect(page.page).to_have_title("Error: Verify your e-mail address – Example")
    expect(page.page.get_by_role("alert")).to_contain_text("This is not the password of the account.")
    expect(page.page.get_by_label("Password")).to_be_focused()
    expect(page.page.get_by_label("Password")).to_have_accessible_description(re.compile("This is not the password"))
    page.look("verify-email-wrong-password")

    page.enter("Password", PASSWORD, "Verify e-mail address")
    page.is_headed("Your e-mail address is verified")
    assert "token" not in page.page.url
    page.look("verify-email-done")
    assert service.profile(token)["email_verified"] is True


def test_a_forgotten_password_is_reset(service, page):
    email = service.sign_up()
    page.open(service.link_to("reset-password", email))
    page.is_headed("Choose a new password")
    page.look("reset-password-form")

    page.enter("New password", "password1234", "Save new password")
    field = page.page.get_by_label("New password")
    expect(page.page.get_by_role("alert")).to_contain_text("common password")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    page.look("reset-password-weak")

    page.enter("New password", NEW_PASSWORD, "Save new password")
    page.is_headed("Your password has been changed")
    page.look("reset-password-done")
    assert service.log_in(email, NEW_PASSWORD)
    assert service.is_refused(email, PASSWORD)


def test_a_new_email_is_used_only_after_the_button_is_pressed(service, page):
    email = service.sign_up()
    link = service.link_to("confirm-email", email)
    page.open(link)
    page.is_headed("Confirm your new e-mail address")
    expect(page.page.get_by_role("main")).to_contain_text(f"new-{email}")
    page.look("confirm-email-form")
    assert service.log_in(email)

    page.page.get_by_role("button", name="Use this address").click()
    page.is_headed("Your e-mail address has been changed")
    page.look("confirm-email-done")
    assert service.log_in(f"new-{email}")
    assert service.is_refused(email, PASSWORD)


def test_a_form_works_with_the_keyboard(service, page):
    page.open(service.link_to("reset-password"))
    page.page.keyboard.type(NEW_PASSWORD)
    page.page.keyboard.press("Enter")
    page.is_headed("Your password has been changed")


@pytest.mark.parametrize("name", ["verify-email", "reset-password", "confirm-email"])
def test_an_invalid_link_leads_to_a_page_with_advice(service, page, name):
    email = service.sign_up()
    link = service.link_to(name, email)
    page.open(link[:-7])
    page.is_headed("This link is incomplete")
    page.look(f"{name}-malformed")

    with service.database() as client:
        users, purpose = client.get_default_database()["users"], name.replace("confirm", "change").replace("-", "_")
        users.update_one({"email": email}, {"$set": {f"tokens.{purpose}.expires_at": datetime.now(UTC)}})
        page.open(link)
        page.is_headed("This link has expired")
        page.look(f"{name}-expired")
        users.update_one({"email": email}, {"$unset": {f"tokens.{purpose}": True}})
        page.open(link)
        page.is_headed("This link no longer works")
        page.look(f"{name}-used")


def test_an_email_taken_in_the_meantime_is_reported(service, page):
    email = service.sign_up()
    page.open(service.link_to("confirm-email", email))
    sign_up(service.client, email=f"new-{email}")
    page.page.get_by_role("button", name="Use this address").click()
    page.is_headed("This e-mail address is taken")
    page.look("confirm-email-taken")


def test_too_many_wrong_passwords_show_the_time_to_wait(gunicorn, mongo_uri, smtp, page):
    uri = mongo_uri.replace("?", "_attempts?")
    running, environment = service_of(gunicorn, uri, smtp, THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per 15 minute")
    with running as url:
        service = Service(url, smtp, environment | {"PUBLIC_URL": url})
        page.open(service.link_to("verify-email"))
        page.enter("Password", "not the password", "Verify e-mail address")
        page.enter("Password", PASSWORD, "Verify e-mail address")
        expect(page.page.get_by_role("alert")).to_contain_text("Try again in 15 minutes.")
        page.look("verify-email-too-many")


def test_a_new_link_is_sent_to_a_user_who_is_not_verified(service, page):
    email = service.sign_up()
    page.open(f"{service.url}/verify-email/again")
    page.is_headed("Get a new link")
    page.look("new-link-form")
    page.page.get_by_label("E-mail address").fill(email)
    page.enter("Password", "not the password", "Send new link")
    expect(page.page.get_by_role("alert")).to_contain_text("The e-mail address or the password is wrong.")
    expect(page.page.get_by_label("E-mail address")).to_have_value(email)
    page.look("new-link-wrong-password")
    page.enter("Password", PASSWORD, "Send new link")
    page.is_headed("Check your e-mail")
    page.look("new-link-sent")
    page.open(service.link_sent_to(email))
    page.enter("Password", PASSWORD, "Verify e-mail address")
    page.is_headed("Your e-mail address is verified")


def test_the_form_can_be_sent_again_when_the_database_is_back(gunicorn, smtp, page, tmp_path):
    with Mongod(tmp_path / "mongodb") as mongod:
        running, environment = service_of(gunicorn, mongod.uri("pixora"), smtp, DATABASE_TIMEOUT_MS="500")
        with running as url:
            service = Service(url, smtp, environment | {"PUBLIC_URL": url})
            email = service.sign_up()
            page.open(service.link_to("reset-password", email))
            pid = int((tmp_path / "mongodb/mongod.lock").read_text())
            os.kill(pid, signal.SIGSTOP)
            try:
                page.enter("New password", NEW_PASSWORD, "Save new password")
                expect(page.page.get_by_role("alert")).to_contain_text("We cannot reach our database")
                page.look("reset-password-unavailable")
            finally:
                os.kill(pid, signal.SIGCONT)
            page.enter("New password", NEW_PASSWORD, "Save new password")
            page.is_headed("Your password has been changed")
            assert service.log_in(email, NEW_PASSWORD)
