import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pymongo
import pytest
from mongod import free_port

from pixora import clock
from pixora.accounts.outbox import LEASE, TEMPLATES, compose
from pixora.errors import DatabaseUnavailable
from pixora.mail.failures import Unavailable
from pixora.mail.rendering import PAGES
from pixora.mail.sender import FIRST_WAIT, JITTER, LONGEST_WAIT, MOST_ATTEMPTS, Sender, connection
from pixora.services import services
from pixora.tokens.one_time import OneTimeToken, Purpose
from tests.factories import fastapi_user


def outbox(users):
    return [letter for user in users.find() for letter in user["letters"]]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_letter_is_sent_and_forgotten(post, users, send_all, smtp, template):
    posted = post(template)
    assert send_all() == {"sent": 1}
    [received] = smtp.received
    assert received.recipient == received.message["To"] == "ada@example.com"
    assert received.message["Message-ID"] == f"<{posted['id']}@pixora.example>"
    assert outbox(users) == []


def test_there_may_be_nothing_to_send(send_all):
    assert send_all() == {}


def test_many_letters_go_over_one_connection(post, send_all, smtp):
    for number in range(5):
        post(to=f"{number}@example.com")
    assert send_all() == {"sent": 5}
    assert len({received.connection for received in smtp.received}) == 1


def test_two_senders_at_once_send_each_letter_once(context, post, users, send_all, smtp):
    posted = [post()["id"] for _ in range(20)]

    def send(_):
        with context.app_context():
            return send_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(outcomes["sent"] for outcomes in pool.map(send, range(4))) == 20
    assert sorted(received.message["Message-ID"][1:25] for received in smtp.received) == sorted(posted)
    assert outbox(users) == []


def test_a_recipient_who_is_refused_is_given_up_at_once(post, users, send_all, smtp, capture_logs):
    post()
    smtp.at_rcpt = "550 5.1.1 <ada@example.com> unknown"
    with capture_logs() as lines:
        assert send_all() == {"given_up": 1}
    [left] = outbox(users)
    assert left["failure"] == "550 5.1.1"
    assert left["due_at"] is None
    [line] = [line for line in lines if line.get("event") == "letter_given_up"]
    assert line["level"] == "ERROR"
    assert (line["letter_id"], line["failure"], line["attempts"]) == (left["id"], "550 5.1.1", 1)


def test_one_who_is_refused_keeps_nobody_else_from_their_letter(post, send_all, smtp):
    post(to="gone@example.com")
    post(to="ada@example.com")
    smtp.at_rcpt = lambda recipient: "550 5.1.1 unknown" if recipient == "gone@example.com" else None
    assert send_all() == {"given_up": 1, "sent": 1}


def test_a_letter_that_is_put_off_is_tried_again_later_and_later(post, users, send_all, smtp, move_clock):
    post()
    smtp.at_rcpt = "451 4.3.0 later"
    waits = []
    for _ in range(MOST_ATTEMPTS - 1):
        assert send_all() == {"put_off": 1}
        assert send_all() == {}
        wait = (outbox(users)[0]["due_at"] - clock.utcnow()).total_seconds()
        waits.append(wait)
        move_clock(seconds=wait + 1)
    for number, wait in enumerate(waits):
        due = min(FIRST_WAIT * 2**number, LONGEST_WAIT).total_seconds()
        assert due * (1 - JITTER) - 1 <= wait <= due * (1 + JITTER)
    assert 8 * 3600 < sum(waits) < 20 * 3600
    assert send_all() == {"given_up": 1}
    assert outbox(users)[0]["attempts"] == smtp.offered == MOST_ATTEMPTS


def test_a_letter_that_was_put_off_is_sent_when_the_server_takes_it(post, users, send_all, smtp, move_clock):
    posted = post()
    smtp.at_data = "451 4.3.0 later"
    send_all()
    smtp.at_data = None
    move_clock(minutes=1)
    assert send_all() == {"sent": 1}
    assert smtp.received[0].message["Message-ID"][1:25] == posted["id"]
    assert outbox(users) == []


def test_letters_that_fail_together_do_not_come_back_together(post, users, send_all, smtp):
    for _ in range(10):
        post()
    smtp.at_rcpt = "451 later"
    assert send_all() == {"put_off": 10}
    due = [left["due_at"] for left in outbox(users)]
    assert max(due) - min(due) > timedelta(seconds=2)


def test_a_server_that_is_away_costs_one_letter_one_attempt(post, users, context, change_settings):
    post()
    post()
    change_settings(context, SMTP_URL=f"smtp://127.0.0.1:{free_port()}")
    with connection() as server, pytest.raises(Unavailable):
        Sender(server).send_all(lambda: False)
    assert sorted(left["attempts"] for left in outbox(users)) == [0, 1]


def test_a_server_that_dies_in_the_middle_of_a_letter_gets_it_again(post, users, send_all, smtp, move_clock):
    post()
    smtp.at_data = "die"
    with pytest.raises(Unavailable):
        send_all()
    smtp.at_data = None
    move_clock(minutes=1)
    assert send_all() == {"sent": 1}
    assert outbox(users) == []


@pytest.mark.parametrize("template", PAGES)
def test_a_letter_whose_link_has_expired_is_not_sent(post, users, send_all, smtp, move_clock, template):
    post(template)
    move_clock(hours=24)
    assert send_all() == {"dropped": 1}
    assert smtp.received == outbox(users) == []


@pytest.mark.parametrize("template", PAGES)
def test_a_letter_whose_link_was_superseded_is_not_sent(post, users, send_all, smtp, template):
    post(template)
    purpose = Purpose(template)
    user_id = users.find_one()["_id"]
    record = OneTimeToken.make(user_id).record(purpose, clock.utcnow())
    users.update_one({"_id": user_id}, {"$set": {f"tokens.{purpose}": record}})
    assert send_all() == {"dropped": 1}
    assert smtp.received == outbox(users) == []


def test_a_letter_whose_link_was_used_is_not_sent(post, users, send_all, smtp):
    post("reset_password")
    users.update_many({}, {"$unset": {"tokens": True}})
    assert send_all() == {"dropped": 1}
    assert smtp.received == []


def test_a_letter_of_another_secret_key_is_given_up(post, users, send_all, context, change_settings):
    post("reset_password")
    change_settings(context, SECRET_KEY="another")
    assert send_all() == {"given_up": 1}
    assert outbox(users)[0]["failure"] == "secret_key"


def test_a_letter_to_what_is_no_address_is_given_up(post, users, send_all):
    post(to="ring the Navy, ext. 7")
    assert send_all() == {"given_up": 1}
    assert outbox(users)[0]["failure"] == "address"


def test_a_letter_that_this_version_has_no_template_for_is_given_up(post, users, send_all):
    post()
    users.update_many({}, {"$set": {"letters.0.template": "of_the_next_version"}})
    assert send_all() == {"given_up": 1}
    assert outbox(users)[0]["failure"] == "template"


def test_a_letter_on_which_each_sender_has_died_is_given_up(post, users, send_all, smtp, move_clock):
    post()
    for _ in range(MOST_ATTEMPTS):
        services.outbox.claim(clock.utcnow())
        move_clock(seconds=LEASE.total_seconds())
    assert send_all() == {"given_up": 1}
    assert smtp.offered == 0
    assert outbox(users)[0]["failure"] == "sender_died"


def test_a_user_who_is_deleted_while_the_letter_is_under_way_is_no_fault(post, users, send_all, smtp):
    post()
    smtp.after_data = lambda: users.delete_many({})
    assert send_all() == {"sent": 1}


def test_a_letter_that_was_sent_while_the_database_went_away_is_noted_later(context, users, smtp, make_app, mongo_uri):
    app = make_app(SMTP_URL=smtp.url, DATABASE_TIMEOUT_MS=300)
    with app.app_context():
        users.insert_one(fastapi_user(letters=[compose("password_changed", "ada@example.com", clock.utcnow())]))
        with pymongo.MongoClient(mongo_uri) as operator, connection() as server:
            smtp.after_data = lambda: operator.admin.command("fsync", lock=True)
            sender = Sender(server)
            try:
                with pytest.raises(DatabaseUnavailable):
                    sender.send_all(lambda: False)
            finally:
                operator.admin.command("fsyncUnlock")
            assert sender.has_to_note
            smtp.after_data = None
            assert sender.send_all(lambda: False) == {}
    assert len(smtp.received) == 1
    assert outbox(users) == []


def test_a_sender_that_is_told_to_stop_ends_after_the_letter_at_hand(post, context, smtp, change_settings):
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
        except Unavailable:
            assert answer == "die"
    assert lines
    assert "ada@" not in str(lines)
    assert "token" not in str(lines)


def test_a_letter_sent_again_tells_that_it_is_the_same(post, users, send_all, smtp, move_clock):
    post()
    smtp.at_data = lambda recipient: None
    before = users.find_one()
    send_all()
    users.replace_one({"_id": before["_id"]}, before)  # as if the note had never been made
    move_clock(hours=1)
    send_all()
    first, again = (received.message for received in smtp.received)
    assert first.as_bytes().split(b"boundary")[0] == again.as_bytes().split(b"boundary")[0]
    assert first["Message-ID"] == again["Message-ID"]
