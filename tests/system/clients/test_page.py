"""The example of a page with a second factor and passkeys, in a browser of a telephone's size.

`--screenshots FOLDER` saves pictures, as in test_pages.
"""

import json
import secrets
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pymongo
import pytest
from cryptography.fernet import Fernet
from mongod import free_port
from playwright.sync_api import expect

from tests.factories import PASSWORD, sign_up
from tests.system.client import Client
from tests.system.clients.examples import EXAMPLES, running
from tests.system.test_pages import Page
from tests.system.test_second_factor import by_oathtool
from tests.timeouts import LONG, wait_until


@pytest.fixture(scope="module")
def service(gunicorn, key_dir, tmp_path_factory):
    """The URLs of a service and of the page. Browsers take `localhost` for secure, and allow passkeys there."""
    port, page_port = free_port(), free_port()
    url, origin = f"http://127.0.0.1:{port}", f"http://localhost:{page_port}"
    settings = {
        "JWT_SECRET_KEY": "",
        "JWT_KEY_DIR": str(key_dir),
        "PUBLIC_URL": url,
        "CORS_ORIGINS": origin,
        "DATA_KEYS": Fernet.generate_key().decode(),
        "WEBAUTHN_ORIGINS": origin,
        "WEBAUTHN_RP_ID": "localhost",
    }
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(EXAMPLES / "page", folder, dirs_exist_ok=True)
    backend = {"PIXORA_URL": url, "PIXORA_ISSUER": url}
    with gunicorn(port, **settings), running(EXAMPLES / "page/app.py", folder, backend, page_port):
        yield url, origin


@pytest.fixture
def database(service, mongo_uri):
    port = service[0].rpartition(":")[2]
    with pymongo.MongoClient(mongo_uri.replace("?", f"_{port}?")) as mongo:
        yield mongo.get_default_database()


def stored_tokens(page):
    return json.loads(page.evaluate("localStorage.tokens"))


def store(page, tokens):
    page.evaluate("tokens => { localStorage.tokens = JSON.stringify(tokens) }", tokens)


class Telephone(Page):
    """The page as a new user sees it."""

    def __init__(self, context, folder, service, database):
        super().__init__(context, folder)
        self.page.set_default_timeout(LONG * 1000)
        url, origin = service
        self.email = f"ada-{secrets.token_hex(4)}@example.com"
        self._users = database["users"]
        sign_up(Client(url), email=self.email)
        self.open(origin)

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def shows(self, selector, text):
        expect(self.page.locator(selector)).to_contain_text(text, timeout=LONG * 1000)

    def enter_password(self):
        self.page.locator("#login [name=username]").fill(self.email)
        self.page.locator("#login [name=password]").fill(PASSWORD)
        self.page.locator("#login").get_by_role("button", name="Log in", exact=True).click()

    def log_in(self):
        self.enter_password()
        self.shows("#name", "Ada Lovelace")

    def log_out(self):
        self.press("Log out")
        expect(self.page.locator("#login")).to_be_visible()

    def set_up_app(self):
        """Set up an authenticator app; return the text of its QR code, and the recovery codes."""
        self.press("Set up")
        expect(self.page.locator("#qr")).to_be_visible()
        self.page.locator("#qr").evaluate("image => image.decode()")  # fails for a picture that cannot be drawn
        uri = self.page.locator("#uri").get_attribute("href")
        self.look("enrolment")
        self.page.locator("#enrolment [name=code]").fill(by_oathtool(uri, 0))
        self.page.locator("#enrolment").get_by_role("button", name="Confirm").click()
        self.shows("#totp-state", "You have 10 recovery codes left.")
        return uri, self.page.locator("#codes li").all_text_contents()

    def expire(self):
        """Let the login be six minutes old, and the access token expired."""
        then = datetime.now(UTC) - timedelta(minutes=6)
        self._users.update_one({"email": self.email}, {"$set": {"sessions.$[].auth_time": then}})
        tokens = stored_tokens(self.page)
        store(self.page, tokens | {"access_token": tokens["access_token"] + "x"})


@pytest.fixture
def telephone(browser, request, service, database):
    context = browser.new_context(viewport={"width": 375, "height": 667}, is_mobile=True, has_touch=True)
    telephone = Telephone(context, request.config.getoption("screenshots"), service, database)
    yield telephone
    # The browser reports every error status; that is not a fault of the page. What breaks its policy is.
    assert [text for text in telephone.complaints if "the server responded with a status of" not in text] == []
    context.close()


def test_a_login_asks_for_the_code_of_the_app_that_was_set_up(telephone):
    page = telephone.page
    telephone.look("visitor")
    telephone.log_in()
    telephone.look("user")
    uri, codes = telephone.set_up_app()
    assert len(codes) == 10
    telephone.look("recovery-codes")
    telephone.press("I have saved them")
    expect(page.locator("#codes li")).to_have_count(0)

    telephone.log_out()
    telephone.enter_password()
    telephone.shows("#second-step", "Enter your code")
    telephone.look("second-step")
    page.locator("#code [name=code]").fill("000000")
    telephone.press("Continue")
    telephone.shows("#error", "The code is incorrect or was already used.")
    page.locator("#code [name=code]").fill(by_oathtool(uri, 30))  # the next one: that of the set-up is used
    telephone.press("Continue")
    telephone.shows("#name", "Ada Lovelace")
    telephone.shows("#totp-state", "You have 10 recovery codes left.")


def test_a_recovery_code_logs_in_and_the_app_is_removed_after_a_confirmation(telephone):
    page = telephone.page
    telephone.log_in()
    uri, codes = telephone.set_up_app()
    telephone.log_out()
    telephone.enter_password()
    page.get_by_text("You do not have the app?").click()
    page.get_by_label("Recovery code").fill(codes[0])
    telephone.look("recovery")
    telephone.press("Use this recovery code")
    telephone.shows("#totp-state", "You have 9 recovery codes left.")

    telephone.expire()
    telephone.press("Remove the app")
    telephone.shows("#confirmation", "Confirm that it is you")
    telephone.look("confirmation")
    telephone.press("Cancel")
    telephone.shows("#error", "Nothing was changed, because you did not confirm.")

    telephone.press("Get new recovery codes")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("Code of your app").fill("000000")
    confirm = page.locator("#confirm").get_by_role("button", name="Confirm")
    confirm.click()
    telephone.shows("#confirmation-error", "The code is incorrect or was already used.")
    page.get_by_label("Code of your app").fill(by_oathtool(uri, 30))
    confirm.click()
    telephone.shows("#totp-state", "You have 10 recovery codes left.")
    assert set(page.locator("#codes li").all_text_contents()).isdisjoint(codes)

    telephone.press("Remove the app")  # no second confirmation within five minutes
    telephone.shows("#totp-state", "Off.")
    telephone.log_out()
    telephone.log_in()


@pytest.fixture
def other_tab(telephone):
    """The page of a user who has logged in, in another tab, where somebody else can log in."""
    telephone.log_in()
    tab = telephone.page.context.new_page()
    tab.set_default_timeout(LONG * 1000)
    tab.goto(telephone.page.url)
    expect(tab.locator("#name")).to_have_text("Ada Lovelace", timeout=LONG * 1000)
    expect(tab.locator("#passkeys")).to_be_visible()  # the last that it asks for
    telephone.expire()
    return tab


@contextmanager
def late_answer(telephone, path):
    """Let the answer to the request that the `with` block sends arrive when the yielded function is called."""
    routes, answers = [], []
    hold = lambda route: routes.append(route)  # noqa: E731, PLW0108  # Playwright takes no method of a list
    telephone.page.route(f"**{path}", hold, times=1)
    yield lambda: routes[0].fulfill(response=answers[0])
    wait_until(lambda: telephone.page.wait_for_timeout(10) or routes)
    answers.append(routes[0].fetch())
    assert answers[0].status == 200


def new_user(service):
    email = f"grace-{secrets.token_hex(4)}@example.com"
    sign_up(Client(service[0]), email=email)
    return email


def log_in_as_another(telephone, other_tab, service):
    other_tab.get_by_role("button", name="Log out", exact=True).click()
    email = new_user(service)
    other_tab.locator("#login [name=username]").fill(email)
    other_tab.locator("#login [name=password]").fill(PASSWORD)
    other_tab.locator("#login").get_by_role("button", name="Log in", exact=True).click()
    expect(telephone.page.locator("#confirm-email")).to_have_value(email, timeout=LONG * 1000)


def test_a_confirmation_does_not_mix_the_sessions_of_two_users(telephone, other_tab, service):
    page = telephone.page
    telephone.press("Set up")
    page.get_by_label("Your password").fill(PASSWORD)
    with late_answer(telephone, "/api/auth/reauthenticate") as arrive:
        page.locator("#confirm").get_by_role("button", name="Confirm").click()
    log_in_as_another(telephone, other_tab, service)
    expect(page.locator("#confirmation")).to_be_hidden()
    tokens = stored_tokens(page)
    arrive()
    telephone.shows("#confirmation-error", "Another tab has logged out meanwhile.")
    assert stored_tokens(page) == tokens
    expect(page.locator("#enrolment")).to_be_hidden()


def test_a_refresh_does_not_overwrite_the_tokens_of_another_user(telephone, other_tab, service):
    page = telephone.page
    with late_answer(telephone, "/api/auth/token") as arrive:
        telephone.press("Set up")
    email = new_user(service)
    form = {"username": email, "password": PASSWORD}
    others = page.request.post(f"{service[0]}/api/auth/login", form=form).json()
    store(other_tab, others)
    expect(page.locator("#confirm-email")).to_have_value(email, timeout=LONG * 1000)
    arrive()
    telephone.shows("#error", "Another tab has logged out meanwhile.")
    assert stored_tokens(page) == others
    expect(page.locator("#enrolment")).to_be_hidden()


class Authenticator:
    """Chromium's own, which holds passkeys, verifies its user and is always touched at once."""

    OPTIONS = {  # noqa: RUF012
        "protocol": "ctap2",
        "ctap2Version": "ctap2_1",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }

    def __init__(self, page):
        self._session = page.context.new_cdp_session(page)
        self._session.send("WebAuthn.enable")
        self._id = self._session.send("WebAuthn.addVirtualAuthenticator", {"options": self.OPTIONS})["authenticatorId"]

    def passkeys(self):
        return self._session.send("WebAuthn.getCredentials", {"authenticatorId": self._id})["credentials"]


@pytest.fixture
def authenticator(telephone):
    return Authenticator(telephone.page)


def add_passkey(telephone):
    telephone.page.get_by_label("Name of a new one").fill("Telephone")
    telephone.press("Add a passkey")
    expect(telephone.page.locator("#passkey-list li")).to_have_count(1, timeout=LONG * 1000)


def without_suggestions(telephone):
    """Reload the page as in a browser that does not suggest passkeys: they would be used at once."""
    telephone.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    telephone.page.reload()


def test_a_passkey_logs_in_by_the_button_and_is_renamed_and_removed(telephone, authenticator):
    page = telephone.page
    without_suggestions(telephone)
    telephone.log_in()
    add_passkey(telephone)
    telephone.look("passkeys")
    page.locator("#passkey-list [name=name]").fill("Old telephone")
    telephone.press("Rename")
    expect(page.locator("#passkey-list [name=name]")).to_have_value("Old telephone")

    telephone.log_out()
    telephone.look("visitor-passkey")
    telephone.press("Log in with a passkey")
    telephone.shows("#passkey-list", "last used")
    assert len(authenticator.passkeys()) == 1

    telephone.press("Remove")
    expect(page.locator("#passkey-list li")).to_have_count(0)
    expect(page.locator("#error")).to_be_empty()
    wait_until(lambda: not authenticator.passkeys())  # the authenticator has forgotten it too
    telephone.log_out()
    telephone.log_in()


def test_a_passkey_is_suggested_and_asks_for_no_code(telephone, authenticator):
    telephone.log_in()
    telephone.set_up_app()
    add_passkey(telephone)
    telephone.press("Log out")
    telephone.shows("#passkey-list", "last used")  # the authenticator takes the suggestion at once
    telephone.shows("#name", "Ada Lovelace")


def test_suggestions_get_a_new_challenge_before_the_old_one_expires(telephone):
    """Without an authenticator, so that the browser waits for one."""
    faster = "timeout => milliseconds => timeout.call(AbortSignal, milliseconds / 500)"
    telephone.page.add_init_script(f"AbortSignal.timeout = ({faster})(AbortSignal.timeout)")
    telephone.page.reload()
    for _ in range(3):
        with telephone.page.expect_request("**/api/auth/passkeys/options"):
            pass
    expect(telephone.page.locator("#error")).to_be_empty()
    telephone.log_in()


def test_a_passkey_that_the_service_does_not_know_is_forgotten(telephone, authenticator, database):
    without_suggestions(telephone)
    telephone.log_in()
    add_passkey(telephone)
    telephone.log_out()
    database["users"].update_one({"email": telephone.email}, {"$set": {"passkeys": []}})
    telephone.press("Log in with a passkey")
    telephone.shows("#error", "No account has this passkey")
    wait_until(lambda: not authenticator.passkeys())
    telephone.press("Log in with a passkey")
    telephone.shows("#error", "No passkey was used")


def test_a_passkey_confirms_that_it_is_the_user(telephone, authenticator):
    without_suggestions(telephone)
    telephone.log_in()
    add_passkey(telephone)
    telephone.press("Remove")  # logged in by the password, which is not the best that this account has
    telephone.shows("#confirmation", "Confirm that it is you")
    telephone.look("confirmation-passkey")
    telephone.press("Use a passkey")
    expect(telephone.page.locator("#passkey-list li")).to_have_count(0)
