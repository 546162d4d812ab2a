import email
import email.policy

import pytest

from pixora import clock
from pixora.accounts.outbox import compose
from pixora.mail.messages import build
from pixora.mail.rendering import render


@pytest.fixture
def built(context, change_settings):
    change_settings(context, MAIL_FROM="Pixora <no-reply@example.com>")

    def built(to="ada@example.com", made=None):
        made = made or compose("password_changed", to, clock.utcnow())
        return build(made, render(made, None, None))

    return built


def test_the_header_is_that_of_a_machine_s_letter(built):
    made = compose("password_changed", "ada@example.com", clock.utcnow())
    message = built(made=made)
    assert message["From"] == "Pixora <no-reply@example.com>"
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Your password has changed"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == f"<{made['id']}@example.com>"
    assert message["Date"].datetime == made["created_at"]


def test_built_again_it_is_the_same_letter(built, move_clock):
    made = compose("password_changed", "ada@example.com", clock.utcnow())
    first = built(made=made)
    move_clock(hours=1)
    again = built(made=made)
    assert first["Message-ID"] == again["Message-ID"]
    assert first["Date"] == again["Date"]


def test_text_comes_first_and_html_is_the_alternative(built):
    message = built()
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_what_is_sent_has_seven_bits_and_short_lines(built, context, change_settings):
    change_settings(context, MAIL_FROM="Bücher für Ängstliche <post@bücher.example>")
    data = built().as_bytes()
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 78
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert message["From"].addresses[0].display_name == "Bücher für Ängstliche"
    assert message["From"].addresses[0].addr_spec == "post@xn--bcher-kva.example"
    assert "Bücher für Ängstliche" in message.get_body(["plain"]).get_content()


def test_a_domain_with_other_letters_is_written_so_that_every_server_knows_it(built):
    assert built("ada@bücher.example")["To"] == "ada@xn--bcher-kva.example"


def test_a_name_with_other_letters_stays(built):
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
def test_what_is_not_one_address_makes_no_letter(built, to):
    with pytest.raises(ValueError, match=r"."):
        built(to)
