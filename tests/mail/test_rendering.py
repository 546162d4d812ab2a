import html
import re
from datetime import timedelta

import pytest

from pixora import clock
from pixora.accounts.outbox import TEMPLATES
from pixora.mail.rendering import LINK_PATHS, render
from pixora.services import services
from tests.mail.conftest import context_of

TOKEN = "x" * 59


@pytest.fixture
def rendered(context):
    """Render an e-mail, with a link if its template has one."""

    def rendered(template):
        now = clock.utcnow()
        token, expires_at = (TOKEN, now + timedelta(minutes=30)) if template in LINK_PATHS else (None, None)
        return render(
            services.outbox.compose(template, "ada@example.com", now, **context_of(template)), token, expires_at
        )

    return rendered


def words(text):
    return re.findall(r"[\w:/.?=&-]+", text)


def words_of_html(page):
    body = re.sub(r"(?s)<head>.*</head>", "", page)
    return words(html.unescape(re.sub(r"<[^>]*>", " ", body)))


@pytest.mark.parametrize("template", TEMPLATES)
def test_text_and_html_say_the_same(rendered, template):
    content = rendered(template)
    text = [word.removesuffix(":") for word in words(content.text) if word not in ("--", "-")]  # after a label
    assert [word.removesuffix(":") for word in words_of_html(content.html)] == text


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_email_says_what_to_do_if_this_was_you_or_not(rendered, template):
    text = " ".join(rendered(template).text.split())
    assert "Pixora" in text
    assert "If this was you" in text
    assert "If this was not you" in text


@pytest.mark.parametrize("template", TEMPLATES)
def test_emails_and_their_lines_are_short(rendered, template):
    content = rendered(template)
    assert len(content.text) < 1000
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
