import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pymongo
import pytest
from mongod import free_port

from pixora import clock
from pixora.accounts.outbox import LEASE, TEMPLATES
from pixora.errors import DatabaseUnavailable
from pixora.mail.failures import ServerUnavailable
from pixora.mail.rendering import LINK_PATHS
from pixora.mail.sender import FIRST_WAIT, JITTER, LONGEST_WAIT, MAX_ATTEMPTS, Sender, connection
from pixora.services import services
from pixora.tokens.one_time import OneTimeToken, Purpose
from tests.factories import fastapi_user


def outbox(users):
    return [email for user in users.find() for email in user["letters"]]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_sent_email_leaves_the_outbox(post, users, send_all, smtp, template):
    posted = post(template)
    assert send_all() == {"sent": 1}
    [received] = smtp.received
    assert received.recipient == received.message["To"] == "ada@example.com"
    assert received.message["Message-ID"] == f"<{posted['id']}@pixora.example>"
    assert outbox(users) == []


def test_an_empty_outbox_sends_nothing(send_all):
    assert send_all() == {}


def test_several_emails_share_one_connection(post, send_all, smtp):
    for number in range(5):
        post(to=f"{number}@example.com")
    assert send_all() == {"sent": 5}
    assert len({received.connection for received in smtp.received}) == 1


def test_parallel_senders_send_each_email_once(context, post, users, send_all, smtp):
    posted = [post()["id"] for _ in range(20)]

    def send(_):
        with context.app_context():
            return send_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(outcomes["sent"] for outcomes in pool.map(send, range(4))) == 20
    assert sorted(received.message["Message-ID"][1:25] for received in smtp.received) == sorted(posted)
    assert outbox(users) == []


def test_a_refused_recipient_is_given_up_at_once(post, users, send_all, smtp, capture_logs):
    post()
    smtp.at_rcpt = "550 5.1.1 <ada@example.com> unknown"
    with capture_logs() as lines:
        assert send_all() == {"given_up": 1}
    [left] = outbox(users)
    assert left["failure"] == "550 5.1.1"
    assert left["due_at"] is None
    [line] = [line for line in lines if line.get("event") == "email_given_up"]
    assert line["level"] == "ERROR"
    assert (line["email_id"], line["failure"], line["attempts"]) == (left["id"], "550 5.1.1", 1)


def test_a_refused_recipient_does_not_stop_other_emails(post, send_all, smtp):
    post(to="gone@example.com")
    post(to="ada@example.com")
    smtp.at_rcpt = lambda recipient: "550 5.1.1 unknown" if recipient == "gone@example.com" else None
    assert send_all() == {"given_up": 1, "sent": 1}


def test_a_deferred_email_is_tried_again_with_growing_waits(post, users, send_all, smtp, move_clock):
    post()
    smtp.at_rcpt = "451 4.3.0 later"
    waits = []
    for _ in range(MAX_ATTEMPTS - 1):
        assert send_all() == {"deferred": 1}
        assert send_all() == {}
        wait = (outbox(users)[0]["due_at"] - clock.utcnow()).total_seconds()
        waits.append(wait)
        move_clock(seconds=wait + 1)
    for number, wait in enumerate(waits):
        due = min(FIRST_WAIT * 2**number, LONGEST_WAIT).total_seconds()
        assert due * (1 - JITTER) - 1 <= wait <= due * (1 + JITTER)
    assert 8 * 3600 < sum(waits) < 20 * 3600
    assert send_all() == {"given_up": 1}
    assert outbox(users)[0]["attempts"] == smtp.offered == MAX_ATTEMPTS


def test_a_deferred_email_is_sent_when_the_server_accepts_it(post, users, send_all, smtp, move_clock):
    posted = post()
    smtp.at_data = "451 4.3.0 later"
    send_all()
    smtp.at_data = None
    move_clock(minutes=1)
    assert send_all() == {"sent": 1}
    assert smtp.received[0].message["Message-ID"][1:25] == posted["id"]
    assert outbox(users) == []


def test_emails_that_fail_together_are_retried_at_different_times(post, users, send_all, smtp):
    for _ in range(10):
        post()
    smtp.at_rcpt = "451 later"
    assert send_all() == {"deferred": 10}
    due = [left["due_at"] for left in outbox(users)]
    assert max(due) - min(due) > timedelta(seconds=2)


def test_an_unavailable_server_costs_one_email_one_attempt(post, users, context, change_settings):
    post()
    post()
    change_settings(context, SMTP_URL=f"smtp://127.0.0.1:{free_port()}")
    with connection() as server, pytest.raises(ServerUnavailable):
        Sender(server).send_all(lambda: False)
    assert sorted(left["attempts"] for left in outbox(users)) == [0, 1]


def test_an_email_is_sent_again_after_the_server_died_in_the_middle(post, users, send_all, smtp, move_clock):
    post()
    smtp.at_data = "die"
    with pytest.raises(ServerUnavailable):
        send_all()
    smtp.at_data = None
    move_clock(minutes=1)
    assert send_all() == {"sent": 1}
    assert outbox(users) == []


@pytest.mark.parametrize("template", LINK_PATHS)
def test_an_email_with_an_expired_link_is_dropped(post, users, send_all, smtp, move_clock, template):
    post(template)
    move_clock(days=7)
    assert send_all() == {"dropped": 1}
    assert smtp.received == outbox(users) == []


@pytest.mark.parametrize("template", LINK_PATHS)
def test_an_email_with_a_replaced_link_is_dropped(post, users, send_all, smtp, template):
    post(template)
    purpose = Purpose(template)
    user_id = users.find_one()["_id"]
    record = OneTimeToken.make(user_id).record(purpose, clock.utcnow())
    users.update_one({"_id": user_id}, {"$set": {f"tokens.{purpose}": record}})
    assert send_all() == {"dropped": 1}
    assert smtp.received == outbox(users) == []


def test_an_email_with_a_used_link_is_dropped(post, users, send_all, smtp):
    post("reset_password")
    users.update_many({}, {"$unset": {"tokens": True}})
    assert send_all() == {"dropped": 1}
    assert smtp.received == []


def test_an_email_encrypted_under_another_secret_key_is_given_up(post, users, smtp, make_app):
    post("reset_password")
    app = make_app(SECRET_KEY="another", SMTP_URL=smtp.url)
    with app.app_context(), connection() as server:
        assert Sender(server).send_all(lambda: False) == {"given_up": 1}
    assert outbox(users)[0]["failure"] == "secret_key"


def test_an_email_to_an_invalid_address_is_given_up(post, users, send_all):
    post(to="ring the Navy, ext. 7")
    assert send_all() == {"given_up": 1}
    assert outbox(users)[0]["failure"] == "address"


def test_an_email_without_a_template_is_given_up(post, users, send_all):
    post()
    users.update_many({}, {"$set": {"letters.0.template": "of_the_next_version"}})
    assert send_all() == {"given_up": 1}
    assert outbox(users)[0]["failure"] == "template"


def test_an_email_that_kills_its_senders_is_given_up(post, users, send_all, smtp, move_clock):
    post()
    for _ in range(MAX_ATTEMPTS):
        services.outbox.claim(clock.utcnow())
        move_clock(seconds=LEASE.total_seconds())
    assert send_all() == {"given_up": 1}
    assert smtp.offered == 0
    assert outbox(users)[0]["failure"] == "sender_died"


def test_a_user_deleted_while_the_email_is_sent_is_no_error(post, users, send_all, smtp):
    post()
    smtp.after_data = lambda: users.delete_many({})
    assert send_all() == {"sent": 1}


def test_a_sent_email_is_removed_when_the_database_is_back(context, users, smtp, make_app, mongo_uri):
    app = make_app(SMTP_URL=smtp.url, DATABASE_TIMEOUT_MS=300)
    with app.app_context():
        users.insert_one(
            fastapi_user(letters=[services.outbox.compose("password_changed", "ada@example.com", clock.utcnow())])
        )
        with pymongo.MongoClient(mongo_uri) as operator, connection() as server:
            smtp.after_data = lambda: operator.admin.command("fsync", lock=True)
            sender = Sender(server)
            try:
                with pytest.raises(DatabaseUnavailable):
                    sender.send_all(lambda: False)
            finally:
                operator.admin.command("fsyncUnlock")
            assert sender.has_sent
            smtp.after_data = None
            assert sender.send_all(lambda: False) == {}
    assert len(smtp.received) == 1
    assert outbox(users) == []


def test_a_stopped_sender_finishes_the_current_email(post, context, smtp, change_settings):
    change_settings(context, SMTP_URL=smtp.url)
    for _ in range(3):
        post()
    stopped = threading.Event()
    smtp.after_data = stopped.set
    with connection() as server:
        assert Sender(server).send_all(stopped.is_set) == {"sent": 1}


@pytest.mark.parametrize("answer", [None, "550 5.1.1 <ada@example.com> unknown", "451 <ada@example.com> later", "die"])
def test_neither_tokens_nor_addresses_are_logged(post, send_all, smtp, capture_logs, answer):
    post("reset_password")
    smtp.at_rcpt = answer
    with capture_logs() as lines:
        try:
            send_all()
        except ServerUnavailable:
            assert answer == "die"
    assert lines
    assert "ada@" not in str(lines)
    assert "token" not in str(lines)


def test_an_email_sent_again_has_the_same_message_id(post, users, send_all, smtp, move_clock):
    post()
    smtp.at_data = lambda recipient: None
    before = users.find_one()
    send_all()
    users.replace_one({"_id": before["_id"]}, before)  # as if it had never been removed
    move_clock(hours=1)
    send_all()
    first, again = (received.message for received in smtp.received)
    assert first.as_bytes().split(b"boundary")[0] == again.as_bytes().split(b"boundary")[0]
    assert first["Message-ID"] == again["Message-ID"]
