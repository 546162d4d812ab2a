"""A user who reads German chooses a password on a telephone, and lands in the product.

`--screenshots FOLDER` saves pictures, as in test_pages.
"""

import secrets

import pytest
from mongod import free_port
from playwright.sync_api import expect

from tests import smtp_server
from tests.factories import log_in, sign_up
from tests.system.test_pages import Page, Service, service_of

PASSWORD = "Apfelmus unter Regenschirmen"
PRODUCT = "https://app.example.com"
RETURN_URL = f"{PRODUCT}/signed-in"

CALL = """async ([url, body, token]) => {
    const headers = {"Content-Type": "application/json", ...(token && {Authorization: `Bearer ${token}`})};
    const response = await fetch(url, {method: "POST", headers, body: JSON.stringify(body)});
    return [response.status, await response.json()];
}"""


@pytest.fixture(scope="module")
def service(gunicorn, mongo_uri):
    with smtp_server.running(free_port()) as smtp:
        uri = mongo_uri.replace("?", "_german?")
        settings = {"REQUIRED_FIELDS": "", "RETURN_URL": RETURN_URL, "CORS_ORIGINS": PRODUCT, "BRAND_COLOR": "#0f766e"}
        running, environment = service_of(gunicorn, uri, smtp, **settings)
        with running as url:
            yield Service(url, smtp, environment | {"PUBLIC_URL": url})


@pytest.fixture
def telephone(browser, request):
    context = browser.new_context(
        viewport={"width": 375, "height": 667},
        device_scale_factor=2,
        has_touch=True,
        is_mobile=True,
        locale="de-DE",
        permissions=["local-network-access"],  # the product calls a service on this machine
    )
    context.route(f"{PRODUCT}/**", lambda route: route.fulfill(body="<h1>Product</h1>"))
    page = Page(context, request.config.getoption("screenshots"))
    yield page
    assert [text for text in page.complaints if "the server responded with a status of" not in text] == []
    context.close()


def sign_up_in_german(service):
    email = f"ada-{secrets.token_hex(4)}@example.com"
    sign_up(service.client, email=email, locale="de")
    return email


def test_a_password_is_chosen_in_german_on_a_telephone_and_the_way_leads_to_the_product(service, telephone):
    page, email = telephone.page, sign_up_in_german(service)
    telephone.open(f"{service.url}/forgot-password?locale=de")
    expect(page.get_by_role("heading")).to_have_text("Passwort vergessen")
    telephone.look("german-forgot-password")
    telephone.enter("E-Mail-Adresse", email, "Link schicken")
    expect(page.get_by_role("heading")).to_have_text("Sehen Sie in Ihre E\u2011Mails")
    telephone.look("german-link-sent")

    link = service.link_sent_to(email)
    assert "locale=de" in link
    telephone.open(link)
    expect(page.get_by_role("heading")).to_have_text("Neues Passwort wählen")
    field, advice = page.get_by_label("Neues Passwort"), page.locator("#advice")
    expect(field).to_be_focused()
    for typed, words in (
        ("Apfel", "Es fehlen noch 7 Zeichen"),
        ("aaaaaaaaaaaaaa", "Sehr wenige verschiedene Zeichen"),
        (email.replace("@", "-1815-").replace("example.com", "EXAMPLE.com"), "Nur Ihre E-Mail-Adresse"),
        ("ä" * 40, "Zu lang: höchstens 72 Bytes"),
        (PASSWORD, "Lang genug."),
    ):
        field.fill(typed)
        expect(advice).to_contain_text(words)
    page.get_by_role("button", name="Passwort zeigen").click()
    expect(field).to_have_attribute("type", "text")
    telephone.look("german-reset-password")
    page.get_by_role("button", name="Passwort verbergen").click()
    expect(field).to_have_attribute("type", "password")

    telephone.enter("Neues Passwort", "passwort1234", "Neues Passwort speichern")
    expect(page.get_by_role("alert")).to_be_visible()
    telephone.look("german-reset-password-weak")
    page.get_by_label("Neues Passwort").fill(PASSWORD)
    page.get_by_role("button", name="Passwort zeigen").click()
    page.get_by_role("button", name="Neues Passwort speichern").click()
    expect(page.get_by_role("heading")).to_have_text("Ihr Passwort wurde geändert")
    telephone.look("german-reset-password-done")
    assert log_in(service.client, email, PASSWORD).status_code == 200
    page.get_by_role("link", name="Weiter zu Example").click()
    expect(page).to_have_url(RETURN_URL)


def test_a_product_signs_users_up_by_email_and_password_and_they_invite_others_in_german(service, telephone):
    page, name = telephone.page, secrets.token_hex(4)
    email, guest = f"grace-{name}@example.com", f"gast-{name}@example.com"
    telephone.open(f"{PRODUCT}/sign-up")
    body = {"email": email, "password": PASSWORD}
    status, created = page.evaluate(CALL, [f"{service.url}/api/auth/signup", body, None])
    assert (status, created["message"]) == (201, "User created successfully")
    with service.database() as client:
        users = client.get_default_database()["users"]
        users.update_one({"_id": created["id"]}, {"$set": {"roles": ["user", "admin"]}})
    token = service.log_in(email, PASSWORD)
    body = {"email": guest, "invite": True, "locale": "de"}
    status, invited = page.evaluate(CALL, [f"{service.url}/api/admin/users", body, token])
    assert (status, invited["locale"], invited["first_name"]) == (201, "de", None)

    telephone.open(service.link_sent_to(guest))
    expect(page.get_by_role("heading")).to_have_text("Passwort wählen")
    expect(page.get_by_label("E-Mail-Adresse")).to_have_value(guest)
    telephone.look("german-invitation")
    telephone.enter("Passwort", PASSWORD, "Passwort speichern")
    expect(page.get_by_role("heading")).to_have_text("Willkommen")
    telephone.look("german-invitation-accepted")
    page.get_by_role("link", name="Weiter zu Example").click()
    expect(page).to_have_url(RETURN_URL)
    assert service.log_in(guest, PASSWORD)


def test_without_javascript_the_page_works_and_has_no_button_to_show_the_password(service, browser):
    context = browser.new_context(java_script_enabled=False, locale="de-DE")
    page, email = context.new_page(), sign_up_in_german(service)
    service.client.post("/api/auth/password-reset", json={"email": email})
    page.goto(service.link_sent_to(email))
    assert page.get_by_role("button").all_text_contents() == ["Neues Passwort speichern"]
    page.get_by_label("Neues Passwort").fill(PASSWORD)
    page.get_by_role("button").click()
    expect(page.get_by_role("heading")).to_have_text("Ihr Passwort wurde geändert")
    context.close()
