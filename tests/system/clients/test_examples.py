"""The examples: a page in a browser, with its backend, and services that verify access tokens or ask about them."""

import hashlib
import secrets
import shutil

import pymongo
import pytest
from mongod import free_port
from playwright.sync_api import expect

from tests.factories import PASSWORD, log_in, sign_up, signup_body
from tests.system.browser import Visit
from tests.system.client import Client
from tests.system.clients.examples import EXAMPLES, running
from tests.timeouts import LONG

VERIFIERS = "python/app.py", "python/introspection.py", "node/server.mjs", "node/introspection.mjs"


@pytest.fixture(scope="module")
def service(gunicorn, key_dir):
    """A service, with what the examples need to know of it."""
    port, page_port, key = free_port(), free_port(), secrets.token_urlsafe(32)
    url = f"http://127.0.0.1:{port}"
    keys = {"JWT_SECRET_KEY": "", "JWT_KEY_DIR": str(key_dir), "PUBLIC_URL": url}
    keys |= {"SERVICE_KEYS": f"orders:{hashlib.sha256(key.encode()).hexdigest()}"}
    with gunicorn(port, CORS_ORIGINS=f"http://127.0.0.1:{page_port}", **keys):
        yield {"PIXORA_URL": url, "PIXORA_ISSUER": url, "SERVICE_NAME": "orders", "SERVICE_KEY": key}, page_port


@pytest.mark.parametrize("name", VERIFIERS)
def test_a_service_knows_users_roles_and_ended_sessions(name, service, folder, mongo_uri):
    environment, _ = service
    pixora = Client(environment["PIXORA_URL"])
    email = f"{secrets.token_hex(4)}@example.com"
    user_id = sign_up(pixora, email=email).json["id"]
    with running(EXAMPLES / name, folder, environment) as url:
        other = Client(url)

        def status(path, token):
            return other.get(path, headers={"Authorization": f"Bearer {token}"}).status_code

        assert other.get("/hello").status_code == status("/hello", "x.y.z") == 401
        token = log_in(pixora, email).json["access_token"]
        assert other.get("/hello", headers={"Authorization": f"Bearer {token}"}).json == {"user": user_id}
        assert status("/admin", token) == 403

        port = environment["PIXORA_URL"].rpartition(":")[2]
        with pymongo.MongoClient(mongo_uri.replace("?", f"_{port}?")) as mongo:
            mongo.get_default_database()["users"].update_one({"_id": user_id}, {"$set": {"roles": ["user", "admin"]}})
        as_admin = log_in(pixora, email).json["access_token"]
        assert status("/admin", as_admin) == 200
        asks = "introspection" in name
        assert status("/admin", token) == (200 if asks else 403)  # the token has the roles of its login

        pixora.post("/api/auth/logout", headers={"Authorization": f"Bearer {token}"})
        assert status("/hello", token) == (401 if asks else 200)


@pytest.fixture
def page_url(service, tmp_path):
    environment, port = service
    shutil.copytree(EXAMPLES / "page", tmp_path, dirs_exist_ok=True)
    with running(EXAMPLES / "page/app.py", tmp_path, environment, port) as url:
        yield url


def test_tabs_of_the_page_share_a_session(browser, page_url):
    account = signup_body(email=f"{secrets.token_hex(4)}@example.com")
    with browser.new_context() as context:
        visit = Visit(context)
        first = visit.page
        first.set_default_timeout(LONG * 1000)
        first.goto(page_url)
        for name, value in account.items():
            first.locator(f"#signup [name={name}]").fill(value)
        first.get_by_role("button", name="Sign up").click()
        expect(first.locator("#greeting")).to_contain_text("Your roles: user.")
        for heading in ("Authenticator app", "Passkeys"):  # which this service does not offer
            expect(first.get_by_role("heading", name=heading)).to_be_hidden()

        second = context.new_page()
        second.goto(page_url)
        expect(second.locator("#name")).to_have_text("Ada Lovelace")

        # As if the access token had expired: both tabs are refused, and one of them refreshes.
        expired = first.evaluate("JSON.parse(localStorage.tokens).access_token") + "x"
        first.evaluate(
            "old => localStorage.tokens = JSON.stringify({...JSON.parse(localStorage.tokens), access_token: old})",
            expired,
        )
        visit.requests.clear()
        for tab in (first, second):
            tab.evaluate("document.getElementById('again').click()")
        for tab in (first, second):
            tab.wait_for_function("old => JSON.parse(localStorage.tokens).access_token !== old", arg=expired)
            tab.get_by_role("button", name="Greet again").click()
            expect(tab.locator("#error")).to_be_empty()
            expect(tab.locator("#greeting")).to_contain_text("Hello")
        assert len([url for url in visit.requests if url.endswith("/api/auth/token")]) == 1

        second.get_by_role("button", name="Log out").click()
        for tab in (first, second):
            expect(tab.get_by_role("button", name="Log in")).to_be_visible()

        first.locator("#login [name=username]").fill(account["email"])
        first.locator("#login [name=password]").fill("a wrong password")
        first.get_by_role("button", name="Log in").click()
        expect(first.locator("#error")).to_have_text("Incorrect email or password")
        first.locator("#login [name=password]").fill(PASSWORD)
        first.get_by_role("button", name="Log in").click()
        for tab in (first, second):
            expect(tab.locator("#name")).to_have_text("Ada Lovelace")
