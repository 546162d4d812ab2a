"""The pages in German and English, their way back to the product, and their look."""

import inspect
import re

import pytest
import zxcvbn_rs_py

from pixora import clock
from pixora.accounts.outbox import Recipient
from pixora.mail.rendering import LINK_PATHS, render
from pixora.pages import texts, translation
from pixora.pages.german import GERMAN
from pixora.passwords import policy
from pixora.services import services
from tests import ROOT

RETURN_URL = "https://app.example.com/signed-in?from=auth"


def english_texts():
    """Every text of the pages: those of texts.py, of the templates, of the password policy and of zxcvbn."""

    def strings(value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            fields = value._asdict().items() if hasattr(value, "_asdict") else enumerate(value)
            for name, part in fields:
                if name != "path":
                    yield from strings(part)

    for name, value in vars(texts).items():
        if name.isupper() and not name.endswith("_PATH"):
            yield from strings(value)
    for template in (ROOT / "pixora/templates/pages").glob("*.html"):
        yield from re.findall(r"""\bt\(["']([^"']+)["']\)""", template.read_text())
    yield from (texts.rate_limited(seconds) for seconds in (60, 900, 7300))
    yield from re.findall(r'PasswordRejected\("([^"]+)"\)', inspect.getsource(policy))
    for kind in (zxcvbn_rs_py.Warning, zxcvbn_rs_py.Suggestion):
        yield from (str(value) for name, value in vars(kind).items() if isinstance(value, kind))


def rejected_lengths():
    for password in ("x", "x" * 73):
        try:
            policy.check_length(password, 12)
        except policy.PasswordRejected as error:
            yield from error.messages


ENGLISH = sorted({text for text in [*english_texts(), *rejected_lengths()] if text})


@pytest.mark.parametrize("text", ENGLISH)
def test_every_text_is_translated(text):
    assert translation.translator("de")(text) != text
    assert translation.translator("en")(text) == text


def test_a_translation_has_the_numbers_of_the_text():
    german = translation.translator("de")
    assert german("Must have at least 15 characters.") == "Es muss mindestens 15 Zeichen haben."
    assert german(texts.rate_limited(900)) == "Das waren zu viele Versuche. Versuchen Sie es in 15 Minuten noch einmal."
    for english, translated in GERMAN.items():
        assert english.count("{}") == translated.count("{}")


def test_there_are_many_texts():
    assert len(ENGLISH) > 80


@pytest.mark.parametrize(
    ("query", "header", "language"),
    [
        ("", "", "en"),
        ("", "de-AT,de;q=0.9", "de"),
        ("", "fr,de;q=0.5", "de"),
        ("", "fr", "en"),
        ("?locale=de", "en", "de"),
        ("?locale=de-CH", "en", "de"),
        ("?locale=en", "de", "en"),
        ("?locale=fr", "de", "de"),
        ("?locale=../x", "de", "de"),
        ("?locale=%00&locale=de", "", "en"),
    ],
)
def test_the_language_is_that_of_the_link_or_of_the_browser(client, query, header, language):
    page = client.get(f"/forgot-password{query}", headers={"Accept-Language": header})
    assert f'<html lang="{language}">' in page.text
    assert ("Passwort vergessen" in page.text) == (language == "de")
    assert page.headers["Vary"] == "Accept-Language"


def test_without_any_the_language_is_the_default_one(make_app, users):
    assert '<html lang="de">' in make_app(DEFAULT_LOCALE="de-AT").test_client().get("/forgot-password").text


def test_form_and_links_keep_the_language_of_the_link(client):
    page = client.get("/verify-email/again?locale=de").text
    assert 'action="/verify-email/again?locale=de"' in page
    assert '<a href="/forgot-password?locale=de">Passwort vergessen?</a>' in page
    assert "Dieser Link ist unvollständig" in client.get("/verify-email?locale=de&token=x").text


def test_the_advice_on_a_weak_password_is_in_german(client, account, token_sent):
    client.post("/forgot-password", data={"email": account.email})
    token = token_sent(account.email, "reset_password")
    page = client.post("/reset-password?locale=de", data={"token": token, "new_password": "password1234"})
    assert (page.status_code, "häufiges Passwort" in page.text) == (422, True)
    page = client.post("/reset-password?locale=de", data={"token": token, "new_password": "kurz"})
    assert "Es muss mindestens 12 Zeichen haben." in page.text


def test_the_link_in_an_email_has_its_language(app):
    with app.app_context():
        email = services.outbox.compose("verify_email", "ada@example.com", clock.utcnow())
        links = [render(email, "x", clock.utcnow(), Recipient(tags)).link for tags in ((), ("en",), ("de-AT", "en"))]
    assert links[0] == links[1] == "http://127.0.0.1:8000/verify-email?token=x"
    assert links[2] == "http://127.0.0.1:8000/verify-email?locale=de&token=x"


@pytest.mark.parametrize(
    ("setting", "link"),
    [
        ("https://app.example.com/verify", "https://app.example.com/verify?token=x"),
        ("https://app.example.com/?page=verify", "https://app.example.com/?page=verify&token=x"),
        ("https://app.example.com/verify#token={token}", "https://app.example.com/verify#token=x"),
        ("https://app.example.com/verify/{token}", "https://app.example.com/verify/x"),
        ("http://localhost:3000/verify", "http://localhost:3000/verify?token=x"),
    ],
)
@pytest.mark.parametrize("template", LINK_PATHS)
def test_a_link_can_lead_to_a_page_of_the_product(app, change_settings, template, setting, link):
    with app.app_context():
        change_settings(app, **{f"LINK_{template}": setting})
        email = services.outbox.compose(template, "ada@example.com", clock.utcnow())
        assert render(email, "x", clock.utcnow(), Recipient(("de",))).link == link


def test_the_last_page_leads_to_the_product(make_app, account, token_sent):
    client = make_app(RETURN_URL=RETURN_URL, MAIL_FROM="Example <post@example.com>").test_client()
    client.post("/forgot-password", data={"email": account.email})
    token = token_sent(account.email, "reset_password")
    done = client.post("/reset-password?locale=de", data={"token": token, "new_password": "analytical-engine-no-1"})
    assert f'<a class="button" href="{RETURN_URL}">Weiter zu Example</a>' in done.text
    assert "schließen" not in done.text
    assert f'href="{RETURN_URL}"' in client.get("/confirm-email?token=x").text


def test_color_and_logo_are_those_of_the_operator(make_app, users):
    app = make_app(BRAND_COLOR="#ffcc00", BRAND_LOGO="https://cdn.example.com/logo.png", MAIL_FROM="Ex <a@example.com>")
    page = app.test_client().get("/forgot-password")
    assert '<header><img src="https://cdn.example.com/logo.png" alt="Ex"></header>' in page.text
    assert "img-src 'self' https://cdn.example.com;" in page.headers["Content-Security-Policy"]
    assert '<link rel="stylesheet" href="/brand.css">' in page.text
    assert "background: #ffcc00; color: #000000;" in app.test_client().get("/brand.css").text


def test_by_default_the_style_of_the_operator_is_empty(client):
    assert client.get("/brand.css").text == ""
    assert "brand.css" not in client.get("/forgot-password").text
