import html
import re
from datetime import timedelta

import pytest

from pixora import clock
from pixora.accounts.outbox import TEMPLATES, compose
from pixora.mail.rendering import PAGES, render
from tests.mail.conftest import context_of

TOKEN = "x" * 59


@pytest.fixture
def rendered(context):
    """Write a letter out, with a link where its template has one."""

    def rendered(template):
        now = clock.utcnow()
        token, expires_at = (TOKEN, now + timedelta(minutes=30)) if template in PAGES else (None, None)
        return render(compose(template, "ada@example.com", now, **context_of(template)), token, expires_at)

    return rendered


def words(text):
    return re.findall(r"[\w:/.?=&-]+", text)


def words_of_html(page):
    body = re.sub(r"(?s)<head>.*</head>", "", page)
    return words(html.unescape(re.sub(r"<[^>]*>", " ", body)))


@pytest.mark.parametrize("template", TEMPLATES)
def test_text_and_html_say_the_same(rendered, template):
    content = rendered(template)
    label_ends_with_a_colon = [word.removesuffix(":") for word in words(content.text) if word not in ("--", "-")]
    assert [word.removesuffix(":") for word in words_of_html(content.html)] == label_ends_with_a_colon


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_letter_says_why_it_came_and_what_to_do_if_it_was_not_you(rendered, template):
    text = " ".join(rendered(template).text.split())
    assert "Pixora" in text
    assert "If it was you" in text
    assert "If it was not you" in text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_letter_is_short_and_its_lines_too(rendered, template):
    content = rendered(template)
    assert len(content.text) < 1000
    assert all(len(line) <= 72 for line in content.text.splitlines() if line != content.link)


@pytest.mark.parametrize(("template", "page"), PAGES.items())
def test_the_link_goes_to_the_page_at_the_public_url(rendered, context, change_settings, template, page):
    change_settings(context, PUBLIC_URL="https://auth.example.com")
    content = rendered(template)
    assert content.link == f"https://auth.example.com{page}?token={TOKEN}"
    assert f"\n{content.link}\n" in content.text
    assert f'href="{content.link}"' in content.html


@pytest.mark.parametrize("template", PAGES)
def test_a_letter_with_a_link_says_how_long_it_lasts(rendered, template):
    assert "The link works once, for 30 minutes: until " in rendered(template).text


@pytest.mark.parametrize("template", ["email_changing", "email_changed"])
def test_the_old_address_is_told_the_new_one(rendered, template):
    assert "lovelace@example.com" in rendered(template).text


def test_a_day_is_told_in_hours(context):
    now = clock.utcnow()
    made = compose("verify_email", "ada@example.com", now)
    assert "for 24 hours" in render(made, TOKEN, now + timedelta(hours=24)).text


@pytest.mark.parametrize("template", sorted(set(TEMPLATES) - set(PAGES)))
def test_other_letters_have_no_link(rendered, template):
    content = rendered(template)
    assert content.link is None
    text = content.text + content.html
    if template == "address_taken":  # leads on whoever cannot log in before the address is verified
        text = text.replace("http://127.0.0.1:8000/verify-email/again", "")
    assert "http" not in text


def test_the_service_goes_by_the_name_in_mail_from(rendered, context, change_settings):
    change_settings(context, MAIL_FROM="Lovelace & <Sons> <post@example.com>".replace("<Sons> ", ""))
    content = rendered("password_changed")
    assert "Lovelace & " in content.text
    assert "Lovelace &amp; " in content.html


def test_without_a_name_it_goes_by_its_host(rendered, context, change_settings):
    change_settings(context, MAIL_FROM="post@example.com")
    change_settings(context, PUBLIC_URL="https://auth.example.com")
    assert "at auth.example.com" in rendered("address_taken").text


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_html_asks_nothing_of_anybody(rendered, template):
    page = rendered(template).html
    assert not re.search(r"<(img|script|link|iframe|style|form)|url\(|@import", page)


def test_what_is_told_to_a_template_is_escaped_in_html(rendered, context, change_settings):
    change_settings(context, MAIL_FROM='"<script>alert(1)</script>" <post@example.com>')
    content = rendered("password_changed")
    assert "<script>" in content.text
    assert "<script>" not in content.html
