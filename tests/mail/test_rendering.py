import html
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from pixora import clock
from pixora.accounts.outbox import TEMPLATES, Recipient
from pixora.email_templates.catalogue import Catalogue
from pixora.mail.rendering import LINK_PATHS, render
from pixora.services import services
from tests.mail.conftest import context_of

TOKEN = "x" * 59


@pytest.fixture
def rendered(context):
    """Render an e-mail, with a link if its template has one."""

    def rendered(template, *languages, **names):
        now = clock.utcnow()
        token, expires_at = (TOKEN, now + timedelta(minutes=30)) if template in LINK_PATHS else (None, None)
        email = services.outbox.compose(template, "ada@example.com", now, **context_of(template))
        return render(email, token, expires_at, Recipient(languages, **names))

    return rendered


def words(text):
    return re.findall(r"[\w:/.?=&-]+", text)


def words_of_html(page):
    body = re.sub(r"(?s)<head>.*</head>", "", page)
    return words(html.unescape(re.sub(r"<[^>]*>", " ", body)))


@pytest.fixture
def use_templates(context, monkeypatch, tmp_path):
    """Use templates of the operator, given by their names."""

    def use_templates(**texts):
        (tmp_path / "de").mkdir()
        for name, text in texts.items():
            (tmp_path / f"de/{name}.txt").write_text(text)
        services = context.extensions["services"]
        changed = replace(services, email_templates=Catalogue(tmp_path, "en"))
        monkeypatch.setitem(context.extensions, "services", changed)

    return use_templates


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_text_and_html_say_the_same(rendered, template, language):
    content = rendered(template, language)
    text = [word.removesuffix(":") for word in words(content.text) if word not in ("--", "-")]  # after a label
    assert [word.removesuffix(":") for word in words_of_html(content.html)] == text


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_email_says_what_to_do_if_this_was_you_or_not(rendered, template):
    text = " ".join(rendered(template).text.split())
    assert "Pixora" in text
    assert "If this was you" in text
    assert "If this was not you" in text


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_email_says_this_in_german(rendered, template):
    content = rendered(template, "de-AT", "en")
    text = " ".join(content.text.split())
    assert "Wenn Sie das waren" in text
    assert "Wenn Sie das nicht waren" in text
    assert '<html lang="de" dir="ltr">' in content.html


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_emails_and_their_lines_are_short(rendered, template, language):
    content = rendered(template, language)
    assert len(content.text) < 1100
    assert all(len(line) <= 72 for line in content.text.splitlines() if line != content.link)


@pytest.mark.parametrize(("template", "page"), LINK_PATHS.items())
def test_the_link_goes_to_the_page_at_the_public_url(rendered, context, change_settings, template, page):
    change_settings(context, PUBLIC_URL="https://auth.example.com")
    content = rendered(template)
    assert content.link == f"https://auth.example.com{page}?token={TOKEN}"
    assert f"\n{content.link}\n" in content.text
    assert f'href="{content.link}"' in content.html


@pytest.mark.parametrize("template", LINK_PATHS)
def test_an_email_with_a_link_says_when_the_link_expires(rendered, template):
    assert "works once and expires after 30 minutes, on " in " ".join(rendered(template).text.split())


@pytest.mark.parametrize("template", ["email_changing", "email_changed"])
def test_the_notices_to_the_old_email_contain_the_new_one(rendered, template):
    assert "lovelace@example.com" in rendered(template).text


def test_a_day_is_written_as_24_hours(context):
    now = clock.utcnow()
    email = services.outbox.compose("verify_email", "ada@example.com", now)
    assert "after 24 hours" in render(email, TOKEN, now + timedelta(hours=24)).text


@pytest.mark.parametrize("template", sorted(set(TEMPLATES) - set(LINK_PATHS)))
def test_other_emails_have_no_link(rendered, template):
    content = rendered(template)
    assert content.link is None
    text = content.text + content.html
    if template == "address_taken":  # users with an unverified address need a new link
        text = text.replace("http://127.0.0.1:8000/verify-email/again", "")
    assert "http" not in text


def test_the_service_is_named_as_in_mail_from(rendered, context, change_settings):
    change_settings(context, MAIL_FROM="Lovelace&Sons <post@example.com>")
    content = rendered("password_changed")
    assert "Lovelace&Sons" in content.text
    assert "Lovelace&amp;Sons" in content.html


def test_without_a_name_the_service_is_named_by_its_host(rendered, context, change_settings):
    change_settings(context, MAIL_FROM="post@example.com")
    change_settings(context, PUBLIC_URL="https://auth.example.com")
    assert "at auth.example.com" in " ".join(rendered("address_taken").text.split())


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_html_loads_nothing(rendered, template):
    page = rendered(template).html
    assert not re.search(r"<(img|script|link|iframe|style|form)|url\(|@import", page)


def test_values_are_escaped_in_html(rendered, context, change_settings):
    change_settings(context, MAIL_FROM='"<script>alert(1)</script>" <post@example.com>')
    content = rendered("password_changed")
    assert "<script>" in content.text
    assert "<script>" not in content.html


def test_names_are_in_templates_of_the_operator_and_harmless_there(rendered, use_templates):
    use_templates(
        password_changed="{{ first_name }}: Hinweis\n\nHallo {{ first_name }} {{ last_name }},\n\nbis bald.\n"
    )
    content = rendered(
        "password_changed", "de", first_name="<b>A\u202eda</b>\r\nBcc: eve@example.com", last_name="x" * 70
    )
    assert content.subject == "<b>Ada</b> Bcc: eve@example.com: Hinweis"
    assert "&lt;b&gt;Ada&lt;/b&gt;" in content.html
    assert "<b>" not in content.html
    assert "\u202e" not in content.text + content.html
    assert "x" * 39 + "…" in content.text
    assert "x" * 40 not in content.text


def test_a_name_makes_no_paragraph_and_no_button(rendered, use_templates):
    use_templates(verify_email="Hallo\n\n{{ first_name }}\n\n-> Weiter\n")
    content = rendered("verify_email", "de", first_name="-> Press\n\n-> here")
    assert content.html.count("<a href=") == 1
    assert "Press -> here" in content.text


def test_our_own_templates_have_no_names(rendered):
    for template in TEMPLATES:
        for language in ("en", "de"):
            content = rendered(template, language, first_name="Xanthippe", last_name="Lovelace")
            assert "Xanthippe" not in content.text + content.html


def test_color_and_logo_are_settings(rendered, context, change_settings):
    change_settings(context, BRAND_COLOR="#ffcc00", BRAND_LOGO="https://example.com/logo.png")
    page = rendered("verify_email").html
    assert "background: #ffcc00; color: #000000" in page
    assert '<img src="https://example.com/logo.png" alt="Pixora"' in page
