"""What the doctor says of the outbox and the SMTP server."""

from datetime import timedelta

from mongod import free_port

from pixora import clock
from tests import smtp_server
from tests.factories import fastapi_user


def test_overdue_emails_are_found(users, doctor, fault_of):
    with smtp_server.running(free_port()) as server:
        email = {"id": "1", "due_at": clock.utcnow() - timedelta(hours=1)}
        users.insert_one(fastapi_user(email="grace@example.com", letters=[email]))
        mail = {"SMTP_URL": server.url, "MAIL_FROM": "a@example.com"}
        assert "mail send --watch" in fault_of("outbox", **mail)
    assert doctor()[1]["outbox"][0][0] == "warning"  # without SMTP_URL no e-mail is ever sent


def test_an_email_that_has_just_become_due_is_not_overdue(users, doctor):
    users.insert_one(fastapi_user(email="grace@example.com", letters=[{"id": "1", "due_at": clock.utcnow()}]))
    assert doctor()[1]["outbox"][0][0] == "ok"


def test_the_smtp_server_is_checked_without_sending_an_email(doctor):
    with smtp_server.running(free_port()) as server:
        assert doctor(SMTP_URL=server.url, MAIL_FROM="a@example.com")[1]["smtp"][0][0] == "ok"
        assert server.received == []
        assert server.offered == 0


def test_an_unreachable_smtp_server_is_found(fault_of):
    url = f"smtp://user:hunter2@127.0.0.1:{free_port()}"
    message = fault_of("smtp", SMTP_URL=url, MAIL_FROM="a@example.com")
    assert "(connection)" in message
    assert "hunter2" not in message
