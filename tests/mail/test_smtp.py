"""Connections to a real SMTP server, with and without TLS and login, that refuses, hangs and dies."""

import ssl
import time
from email.message import EmailMessage
from urllib.parse import quote

import pytest
from mongod import free_port

from pixora.mail import smtp as module
from pixora.mail.failures import PermanentFailure, ServerUnavailable, TransientFailure
from pixora.mail.smtp import Connection, Server
from tests import smtp_server
from tests.mail.conftest import tls_context
from tests.timeouts import SOON

RECIPIENT = "ada@example.com"
CREDENTIALS = f"{quote(smtp_server.USER, safe='')}:{quote(smtp_server.PASSWORD, safe='')}"


def message(to=RECIPIENT):
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Pixora <pixora@example.org>", to, "A message"
    made.set_content("Hello,\n\n.\n..\nthis line comes after one with a dot.\n", cte="quoted-printable")
    return made


def connect(url):
    return Connection(Server.from_url(url), "example.org")


def send(url, to=RECIPIENT):
    with connect(url) as connection:
        connection.send(message(to), to)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 587, "", "", "starttls")),
        ("smtp://mail.example.com:25", ("mail.example.com", 25, "", "", "starttls")),
        ("smtp://mail.example.com?starttls=never", ("mail.example.com", 587, "", "", "none")),
        ("smtp://127.0.0.1:25", ("127.0.0.1", 25, "", "", "none")),
        ("smtp://localhost", ("localhost", 587, "", "", "none")),
        ("smtp://[::1]?starttls=always", ("::1", 587, "", "", "starttls")),
        ("smtps://mail.example.com", ("mail.example.com", 465, "", "", "immediate")),
        ("smtps://u%40x:p%3A%2F@mail.example.com/", ("mail.example.com", 465, "u@x", "p:/", "immediate")),
    ],
)
def test_the_url_is_parsed(url, server):
    assert Server.from_url(url) == server


def test_a_message_arrives_unchanged(smtp):
    send(smtp.url)
    [received] = smtp.received
    assert received.sender == "pixora@example.org"
    assert received.recipient == RECIPIENT
    assert received.message.get_content().splitlines() == message().get_content().splitlines()


def test_several_messages_share_one_connection(smtp):
    with connect(smtp.url) as connection:
        for _ in range(3):
            connection.send(message(), RECIPIENT)
    assert len({received.connection for received in smtp.received}) == 1


def test_a_closed_connection_is_opened_again(smtp):
    with connect(smtp.url) as connection:
        connection.send(message(), RECIPIENT)
        connection._client.sock.shutdown(2)
        connection.send(message(), RECIPIENT)
    assert len({received.connection for received in smtp.received}) == 2


def test_starttls_and_login(trusted):
    port = free_port()
    with smtp_server.running(port, starttls=trusted, login=True) as server:
        send(f"smtp://{CREDENTIALS}@127.0.0.1:{port}?starttls=always")
    assert server.received[0].is_encrypted
    assert server.received[0].user == smtp_server.USER


def test_implicit_tls_and_login(trusted):
    port = free_port()
    with smtp_server.running(port, tls=trusted, login=True) as server:
        send(f"smtps://{CREDENTIALS}@127.0.0.1:{port}")
    assert server.received[0].is_encrypted
    assert server.received[0].user == smtp_server.USER


def test_nothing_is_sent_without_a_required_starttls(smtp):
    with pytest.raises(ServerUnavailable, match="not_supported"):
        send(smtp.url + "?starttls=always")
    assert smtp.received == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_an_untrusted_certificate_is_refused(authority, scheme):
    port = free_port()
    option, query = ("starttls", "?starttls=always") if scheme == "smtp" else ("tls", "")
    with (
        smtp_server.running(port, **{option: tls_context(authority)}) as server,
        pytest.raises(ServerUnavailable, match="tls"),
    ):
        send(f"{scheme}://127.0.0.1:{port}{query}")
    assert server.received == []


def test_a_certificate_for_another_host_is_refused(trusted):
    port = free_port()
    with smtp_server.running(port, starttls=trusted), pytest.raises(ServerUnavailable, match="tls"):
        send(f"smtp://localhost:{port}?starttls=always")


def test_a_wrong_smtp_password_is_not_a_failure_of_the_message(trusted):
    port = free_port()
    with (
        smtp_server.running(port, starttls=trusted, login=True),
        pytest.raises(ServerUnavailable, match=r"535 5\.7\.8"),
    ):
        send(f"smtp://someone:wrong@127.0.0.1:{port}?starttls=always")


def test_a_missing_login_makes_the_server_unavailable(trusted):
    port = free_port()
    with smtp_server.running(port, starttls=trusted, login=True), pytest.raises(ServerUnavailable, match="530"):
        send(f"smtp://127.0.0.1:{port}?starttls=always")


def test_an_international_address_is_sent_with_smtputf8(smtp):
    send(smtp.url, "ædå@example.com")
    [received] = smtp.received
    assert received.recipient == "ædå@example.com"
    assert received.utf8


def test_an_international_address_is_refused_without_smtputf8():
    port = free_port()
    with smtp_server.running(port, utf8=False), pytest.raises(PermanentFailure, match="smtputf8"):
        send(f"smtp://127.0.0.1:{port}", "ædå@example.com")


@pytest.mark.parametrize("moment", ["at_rcpt", "at_data"])
@pytest.mark.parametrize(
    ("answer", "expected", "failure"),
    [
        ("550 5.1.1 <ada@example.com> no such user", PermanentFailure, "550 5.1.1"),
        ("554 we do not like it", PermanentFailure, "554"),
        ("450 4.2.0 <ada@example.com> greylisted", TransientFailure, "450 4.2.0"),
        ("452 full", TransientFailure, "452"),
        ("530 5.7.0 log in first", ServerUnavailable, "530 5.7.0"),
        ("421 4.3.2 closing", ServerUnavailable, "421 4.3.2"),
        ("die", ServerUnavailable, "connection"),
    ],
)
def test_a_reply_is_classified_by_its_codes_and_its_text_is_dropped(smtp, moment, answer, expected, failure):
    setattr(smtp, moment, answer)
    with pytest.raises(expected) as caught:
        send(smtp.url)
    assert caught.value.failure == str(caught.value) == failure


def test_a_refusal_keeps_the_connection(smtp):
    smtp.at_rcpt = lambda recipient: "550 5.1.1 unknown" if recipient == "gone@example.com" else None
    with connect(smtp.url) as connection:
        connection.send(message(), RECIPIENT)
        with pytest.raises(PermanentFailure):
            connection.send(message("gone@example.com"), "gone@example.com")
        connection.send(message(), RECIPIENT)
    assert len({received.connection for received in smtp.received}) == 1


def test_a_server_that_is_down_is_unavailable():
    with pytest.raises(ServerUnavailable, match="connection"):
        send(f"smtp://127.0.0.1:{free_port()}")


def test_an_unknown_host_is_unavailable():
    with pytest.raises(ServerUnavailable, match="connection"):
        send("smtp://mail.invalid?starttls=never")


def test_a_hanging_server_hits_the_deadline_of_a_reply(smtp, monkeypatch):
    monkeypatch.setattr(module, "OPERATION_SECONDS", 0.5)
    smtp.at_data = "hang"
    started = time.monotonic()
    with pytest.raises(ServerUnavailable, match="timeout"):
        send(smtp.url)
    assert time.monotonic() - started < SOON


def test_a_dripping_server_hits_the_deadline_of_a_message(smtp, monkeypatch):
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.5)
    smtp.at_data = "drip"
    started = time.monotonic()
    with pytest.raises(ServerUnavailable, match="connection"):
        send(smtp.url)
    assert time.monotonic() - started < SOON


def test_the_deadline_of_a_message_works_over_tls(trusted, monkeypatch):
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.5)
    port = free_port()
    started = time.monotonic()
    with smtp_server.running(port, tls=trusted) as server:
        server.at_data = "drip"
        with pytest.raises(ServerUnavailable):
            send(f"smtps://127.0.0.1:{port}")
    assert time.monotonic() - started < SOON


def test_only_trusted_authorities_and_modern_protocols_are_accepted():
    context = module._Encrypted("mail.example.com", "example.org").context
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
