"""`flask mail send` as a separate process: killed, stopped, in parallel, and without its servers."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pymongo
import pytest
from mongod import Mongod, free_port

from pixora.accounts.outbox import LEASE
from tests import smtp_server
from tests.factories import fastapi_user
from tests.system.conftest import ROOT
from tests.timeouts import wait_until

SECONDS = 120


def notice(to="ada@example.com"):
    """Return an e-mail without a token."""
    now = datetime.now(UTC)
    return {
        "id": secrets.token_hex(12),
        "template": "password_changed",
        "to": to,
        "context": {},
        "created_at": now,
        "due_at": now,
        "attempts": 0,
    }


@pytest.fixture
def post(users):
    def post(*recipients):
        for number, recipient in enumerate(recipients):
            users.insert_one(fastapi_user(email=f"{number}-{secrets.token_hex(4)}@b.co", letters=[notice(recipient)]))

    return post


@pytest.fixture
def smtp():
    with smtp_server.running(free_port()) as server:
        yield server


@pytest.fixture
def send(mongo_uri, smtp, tmp_path):
    """Start `mail send`. It is killed at the end of the test if it still runs."""
    started = []

    def send(*options, **environment):
        settings = {
            "PATH": os.environ["PATH"],
            "PIXORA_ENV": "testing",
            "MONGO_URI": mongo_uri,
            "SECRET_KEY": "x",
            "JWT_SECRET_KEY": "y" * 32,
            "SMTP_URL": smtp.url,
            "PYTHONUNBUFFERED": "1",
        }
        log = tmp_path / f"{len(started)}.log"
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "mail", "send", *options]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=settings | environment, stdout=output, stderr=subprocess.STDOUT
            )
        process.log = log
        started.append(process)
        return process

    yield send
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def events(process):
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    return [line.get("event") for line in lines]


def outbox(users):
    return [email for user in users.find() for email in user["letters"]]


def end_leases(users):
    """Make all claims as old as if their lease had ended."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    users.update_many({"letters.due_at": {"$gt": past}}, {"$set": {"letters.$[].due_at": past}})


def test_a_sender_killed_before_it_removes_a_sent_email_causes_one_duplicate_with_the_same_id(post, send, smtp, users):
    post("ada@example.com")
    process = None
    smtp.after_data = lambda: (process.send_signal(signal.SIGKILL), process.wait())  # nobody reads the reply
    process = send()
    assert process.wait(SECONDS) == -signal.SIGKILL
    smtp.after_data = None
    [left] = outbox(users)
    assert LEASE - timedelta(seconds=SECONDS) < left["due_at"] - datetime.now(UTC) < LEASE

    assert send().wait(SECONDS) == 0  # the lease has not ended
    assert len(smtp.received) == 1
    end_leases(users)
    assert send().wait(SECONDS) == 0
    end_leases(users)
    assert send().wait(SECONDS) == 0
    first, again = (received.message["Message-ID"] for received in smtp.received)
    assert first == again
    assert outbox(users) == []


def test_a_sender_killed_before_the_server_accepts_loses_nothing(post, send, smtp, users):
    post("ada@example.com")
    process = None

    def kill(recipient):
        process.send_signal(signal.SIGKILL)
        process.wait()
        return "die"

    smtp.at_data = kill
    process = send()
    assert process.wait(SECONDS) == -signal.SIGKILL
    smtp.at_data = None
    end_leases(users)
    assert send().wait(SECONDS) == 0
    assert len(smtp.received) == 1
    assert outbox(users) == []


def test_parallel_senders_send_each_email_once(post, send, smtp, users):
    post(*(f"{number}@example.com" for number in range(100)))
    assert [process.wait(SECONDS) for process in [send() for _ in range(3)]] == [0, 0, 0]
    assert sorted(received.recipient for received in smtp.received) == sorted(
        f"{number}@example.com" for number in range(100)
    )
    assert outbox(users) == []


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_watching_sender_sends_new_emails_and_ends_cleanly_on_a_signal(post, send, smtp, users, stop_signal):
    process = send("--watch")
    wait_until(lambda: "mail_watch" in events(process))
    post("ada@example.com")
    wait_until(lambda: outbox(users) == [])
    process.send_signal(stop_signal)
    assert process.wait(SECONDS) == 0
    assert events(process) == ["mail_watch", "email_sent"]
    assert len(smtp.received) == 1


def test_a_watching_sender_finishes_the_current_email_on_a_signal(post, send, smtp, users):
    post("ada@example.com", "grace@example.com")
    process = None
    smtp.after_data = lambda: (process.send_signal(signal.SIGTERM), time.sleep(0.5))
    process = send("--watch")
    assert process.wait(SECONDS) == 0
    assert len(smtp.received) == 1
    assert len(outbox(users)) == 1


def test_a_watching_sender_survives_an_unavailable_smtp_server(post, send, users):
    port = free_port()
    post("ada@example.com")
    process = send("--watch", SMTP_URL=f"smtp://127.0.0.1:{port}")
    wait_until(lambda: "smtp_unavailable" in events(process))
    with smtp_server.running(port) as back:
        end_leases(users)
        wait_until(lambda: len(back.received) == 1)
        wait_until(lambda: outbox(users) == [])
        assert process.poll() is None


def test_a_watching_sender_survives_an_unavailable_database(send, smtp, tmp_path):
    mongod = Mongod(tmp_path / "mongodb")
    with contextlib.ExitStack() as stack:
        stack.enter_context(mongod)
        uri = mongod.uri("pixora")
        process = send("--watch", MONGO_URI=uri, DATABASE_TIMEOUT_MS="500")
        insert(uri, fastapi_user(letters=[notice()]))
        wait_until(lambda: len(smtp.received) == 1)
        os.kill(mongod_pid(tmp_path), signal.SIGSTOP)
        stack.callback(os.kill, mongod_pid(tmp_path), signal.SIGCONT)
        wait_until(lambda: "database_unavailable" in events(process))
        os.kill(mongod_pid(tmp_path), signal.SIGCONT)
        insert(uri, fastapi_user(letters=[notice()], email="grace@example.com"))
        wait_until(lambda: len(smtp.received) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0


def mongod_pid(folder):
    return int((folder / "mongodb/mongod.lock").read_text())


def insert(uri, document):
    with pymongo.MongoClient(uri) as client:
        client.get_default_database()["users"].insert_one(document)
