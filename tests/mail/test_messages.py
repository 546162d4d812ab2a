from email import message_from_bytes, policy

import pytest

from pixora import clock
from pixora.mail.messages import build
from pixora.mail.rendering import render
from pixora.services import services


@pytest.fixture
def built(context, change_settings):
    change_settings(context, MAIL_FROM="Pixora <no-reply@example.com>")

    def built(to="ada@example.com", email=None):
        email = email or services.outbox.compose("password_changed", to, clock.utcnow())
        return build(email, render(email, None, None))

    return built


def test_the_headers_identify_an_automatic_message(built):
    email = services.outbox.compose("password_changed", "ada@example.com", clock.utcnow())
    message = built(email=email)
    assert message["From"] == "Pixora <no-reply@example.com>"
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Your password has been changed"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == f"<{email['id']}@example.com>"
    assert message["Date"].datetime == email["created_at"]


def test_a_message_built_twice_has_the_same_id_and_date(built, move_clock):
    email = services.outbox.compose("password_changed", "ada@example.com", clock.utcnow())
    first = built(email=email)
    move_clock(hours=1)
    again = built(email=email)
    assert first["Message-ID"] == again["Message-ID"]
    assert first["Date"] == again["Date"]


def test_the_text_comes_first_and_html_is_the_alternative(built):
    message = built()
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_a_message_is_ascii_with_short_lines(built, context, change_settings):
    change_settings(context, MAIL_FROM="Bücher für Ängstliche <post@bücher.example>")
    data = built().as_bytes()
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 78
    message = message_from_bytes(data, policy=policy.default)
    assert message["From"].addresses[0].display_name == "Bücher für Ängstliche"
    assert message["From"].addresses[0].addr_spec == "post@xn--bcher-kva.example"
    assert "Bücher für Ängstliche" in message.get_body(["plain"]).get_content()


def test_an_international_domain_is_sent_in_its_idna_form(built):
    assert built("ada@bücher.example")["To"] == "ada@xn--bcher-kva.example"


def test_an_international_local_part_is_unchanged(built):
    assert built("ædå@bücher.example")["To"].addresses[0].addr_spec == "ædå@xn--bcher-kva.example"


@pytest.mark.parametrize(
    "to",
    [
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com\nBcc: eve@example.com",
        "ada@example.com, eve@example.com",
        "Ada <ada@example.com>",
        "ada",
        "",
    ],
)
def test_an_invalid_recipient_makes_no_message(built, to):
    with pytest.raises(ValueError, match=r"."):
        built(to)
