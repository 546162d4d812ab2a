"""A real SMTP server, with and without TLS and login, that answers, refuses, hangs and dies."""

import ssl
import time
from email.message import EmailMessage
from urllib.parse import quote

import pytest
from mongod import free_port

from pixora.mail import smtp as module
from pixora.mail.failures import PutOff, Refused, Unavailable
from pixora.mail.smtp import Connection, Server
from tests import smtp_server
from tests.mail.conftest import tls_context
from tests.timeouts import SOON

RECIPIENT = "ada@example.com"
CREDENTIALS = f"{quote(smtp_server.USER, safe='')}:{quote(smtp_server.PASSWORD, safe='')}"


def message(to=RECIPIENT):
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Pixora <pixora@example.org>", to, "A letter"
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
def test_the_url_says_where_and_how(url, server):
    assert Server.from_url(url) == server


def test_a_letter_arrives_as_it_is(smtp):
    send(smtp.url)
    [received] = smtp.received
    assert received.sender == "pixora@example.org"
    assert received.recipient == RECIPIENT
    assert received.message.get_content().splitlines() == message().get_content().splitlines()


def test_many_letters_go_over_one_connection(smtp):
    with connect(smtp.url) as connection:
        for _ in range(3):
            connection.send(message(), RECIPIENT)
    assert len({received.connection for received in smtp.received}) == 1


def test_a_connection_that_the_server_has_ended_is_made_anew(smtp):
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


def test_tls_from_the_beginning_and_login(trusted):
    port = free_port()
    with smtp_server.running(port, tls=trusted, login=True) as server:
        send(f"smtps://{CREDENTIALS}@127.0.0.1:{port}")
    assert server.received[0].is_encrypted
    assert server.received[0].user == smtp_server.USER


def test_where_starttls_is_due_and_not_offered_nothing_is_sent(smtp):
    with pytest.raises(Unavailable, match="not_supported"):
        send(smtp.url + "?starttls=always")
    assert smtp.received == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_nobody_vouches_for_is_refused(authority, scheme):
    port = free_port()
    option, query = ("starttls", "?starttls=always") if scheme == "smtp" else ("tls", "")
    with (
        smtp_server.running(port, **{option: tls_context(authority)}) as server,
        pytest.raises(Unavailable, match="tls"),
    ):
        send(f"{scheme}://127.0.0.1:{port}{query}")
    assert server.received == []


def test_a_certificate_for_another_host_is_refused(trusted):
    port = free_port()
    with smtp_server.running(port, starttls=trusted), pytest.raises(Unavailable, match="tls"):
        send(f"smtp://localhost:{port}?starttls=always")


def test_a_wrong_password_is_the_operator_s_fault_and_no_letter_s(trusted):
    port = free_port()
    with smtp_server.running(port, starttls=trusted, login=True), pytest.raises(Unavailable, match=r"535 5\.7\.8"):
        send(f"smtp://someone:wrong@127.0.0.1:{port}?starttls=always")


def test_a_server_that_wants_a_login_and_gets_none_is_not_available(trusted):
    port = free_port()
    with smtp_server.running(port, starttls=trusted, login=True), pytest.raises(Unavailable, match="530"):
        send(f"smtp://127.0.0.1:{port}?starttls=always")


def test_an_address_with_other_letters_goes_where_the_server_knows_smtputf8(smtp):
    send(smtp.url, "ædå@example.com")
    [received] = smtp.received
    assert received.recipient == "ædå@example.com"
    assert received.utf8


def test_an_address_with_other_letters_is_refused_where_the_server_does_not():
    port = free_port()
    with smtp_server.running(port, utf8=False), pytest.raises(Refused, match="smtputf8"):
        send(f"smtp://127.0.0.1:{port}", "ædå@example.com")


@pytest.mark.parametrize("moment", ["at_rcpt", "at_data"])
@pytest.mark.parametrize(
    ("answer", "verdict", "failure"),
    [
        ("550 5.1.1 <ada@example.com> no such user", Refused, "550 5.1.1"),
        ("554 we do not like it", Refused, "554"),
        ("450 4.2.0 <ada@example.com> greylisted", PutOff, "450 4.2.0"),
        ("452 full", PutOff, "452"),
        ("530 5.7.0 log in first", Unavailable, "530 5.7.0"),
        ("421 4.3.2 closing", Unavailable, "421 4.3.2"),
        ("die", Unavailable, "connection"),
    ],
)
def test_what_the_server_answers_is_understood_and_its_words_are_dropped(smtp, moment, answer, verdict, failure):
    setattr(smtp, moment, answer)
    with pytest.raises(verdict) as caught:
        send(smtp.url)
    assert caught.value.failure == str(caught.value) == failure


def test_after_a_refusal_the_next_letter_goes_over_the_same_connection(smtp):
    smtp.at_rcpt = lambda recipient: "550 5.1.1 unknown" if recipient == "gone@example.com" else None
    with connect(smtp.url) as connection:
        connection.send(message(), RECIPIENT)
        with pytest.raises(Refused):
            connection.send(message("gone@example.com"), "gone@example.com")
        connection.send(message(), RECIPIENT)
    assert len({received.connection for received in smtp.received}) == 1


def test_a_server_that_is_not_there_is_not_available():
    with pytest.raises(Unavailable, match="connection"):
        send(f"smtp://127.0.0.1:{free_port()}")


def test_a_host_that_nobody_knows_is_not_available():
    with pytest.raises(Unavailable, match="connection"):
        send("smtp://mail.invalid?starttls=never")


def test_a_server_that_hangs_has_a_deadline(smtp, monkeypatch):
    monkeypatch.setattr(module, "OPERATION_SECONDS", 0.5)
    smtp.at_data = "hang"
    started = time.monotonic()
    with pytest.raises(Unavailable, match="timeout"):
        send(smtp.url)
    assert time.monotonic() - started < SOON


def test_a_server_that_says_a_little_again_and_again_has_a_deadline_too(smtp, monkeypatch):
    monkeypatch.setattr(module, "LETTER_SECONDS", 0.5)
    smtp.at_data = "drip"
    started = time.monotonic()
    with pytest.raises(Unavailable, match="connection"):
        send(smtp.url)
    assert time.monotonic() - started < SOON


def test_the_deadline_holds_over_tls_too(trusted, monkeypatch):
    monkeypatch.setattr(module, "LETTER_SECONDS", 0.5)
    port = free_port()
    started = time.monotonic()
    with smtp_server.running(port, tls=trusted) as server:
        server.at_data = "drip"
        with pytest.raises(Unavailable):
            send(f"smtps://127.0.0.1:{port}")
    assert time.monotonic() - started < SOON


def test_the_system_s_authorities_are_trusted_and_old_protocols_are_not():
    context = module._Encrypted("mail.example.com", "example.org").context
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
