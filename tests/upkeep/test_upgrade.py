"""`db upgrade`: its outcome, interrupted or beside the older service."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pymongo
import pytest
from mongod import free_port

from pixora import clock
from pixora.accounts.users import INDEXES
from pixora.services import services
from pixora.upkeep import rewriting
from pixora.upkeep.addresses import survey
from tests import ROOT
from tests.factories import fastapi_user, log_in, sign_up
from tests.upkeep.conftest import CLASSIC, emails


def test_indexes_only_changes_no_address(old_users, run):
    old_users.insert_many(
        [fastapi_user(), fastapi_user(email="Ada@example.com"), fastapi_user(email="ada@example.com")]
    )
    result = run("db", "upgrade", "--indexes-only", "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert "users.email_1" in report["indexes"]["made"]
    assert (report["addresses"]["not_canonical"], report["addresses"]["clashes"]) == (2, 1)
    assert emails(old_users) == {"Grace.Hopper@example.com", "Ada@example.com", "ada@example.com"}
    old_users.delete_one({"email": "Ada@example.com"})
    result = run("db", "upgrade", "--indexes-only")
    assert result.exit_code == 0
    assert "E-mail addresses: 2 users, 1 not in canonical form, none changed." in result.stdout


def test_two_upgrades_can_run_at_once(app, users, small_batches):
    users.insert_many([fastapi_user(email=f"User{number}@example.com") for number in range(200)])
    store = app.extensions["services"].users

    def work(_):
        with app.app_context():
            return rewriting.rewrite(store, survey(store, lambda number: None), lambda number: None)

    with ThreadPoolExecutor(2) as pool:
        assert [done.refused for done in pool.map(work, range(2))] == [[], []]
    assert emails(users) == {f"user{number}@example.com" for number in range(200)}


@pytest.mark.parametrize("option", [[], ["--indexes-only"]], ids=["all", "indexes only"])
def test_users_who_got_a_password_from_an_older_version_are_corrected(old_users, run, option):
    ahead = clock.utcnow() + timedelta(days=1)
    mark = {"password_removed_at": CLASSIC, "updated_at": ahead}
    without = fastapi_user(email="mary@example.com") | mark
    del without["password"]
    invited = fastapi_user(email="eve@example.com") | {"invited_at": CLASSIC}
    reset = fastapi_user(email="ada@example.com") | mark
    old_users.insert_many([reset, without, invited])
    result = run("db", "upgrade", *option)
    assert result.exit_code == 0
    assert "Users marked as without a password although they have one: 1, corrected." in result.stdout
    del reset["password_removed_at"]
    reset["updated_at"] += timedelta(milliseconds=1)  # the profile changes, and so does its ETag
    assert {user["_id"]: user for user in old_users.find()} == {user["_id"]: user for user in (reset, without, invited)}
    again = run("db", "upgrade", "--json", *option)
    assert json.loads(again.stdout)["passwords"] == {"corrected": 0}
    assert "without a password" not in run("db", "upgrade", *option).stdout


def test_unfinished_erasures_are_completed(users, indexed, upgrade, mongo, move_clock, make_app):
    notes = mongo.get_default_database()["erasures"]
    notes.delete_many({})
    with (
        make_app().app_context(),
        pytest.raises(RuntimeError),
        services.erasure.erasing(fastapi_user()["_id"], "gone@example.com"),
    ):
        raise RuntimeError
    assert notes.count_documents({}) == 1
    move_clock(minutes=11)
    assert upgrade()[0] == 0
    assert notes.count_documents({}) == 0


def test_a_terminal_shows_the_progress(mongo_uri, old_users, indexed):
    old_users.insert_many([fastapi_user(email=f"User{number}@example.com") for number in range(5_000)])
    terminal, process_side = pty.openpty()
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade", "--json"]
    settings = {"PIXORA_ENV": "testing", "MONGO_URI": mongo_uri, "SECRET_KEY": "x", "JWT_SECRET_KEY": "y"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, stderr=process_side, timeout=60
    )
    os.close(process_side)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert "Checking e-mail addresses" in shown
    assert "Changing e-mail addresses" in shown
    assert "100%" in shown
    assert json.loads(done.stdout)["addresses"]["changed"] == 5_000


def test_an_upgraded_address_cannot_sign_up_again_in_another_case(old_users, upgrade, make_app):
    client = make_app().test_client()
    old_users.insert_one(fastapi_user())
    assert upgrade()[0] == 0
    response = sign_up(client, email="GRACE.hopper@Example.com")
    assert (response.status_code, response.json["code"]) == (409, "email_taken")
    assert old_users.count_documents({}) == 1


def test_an_upgraded_user_logs_in_in_any_case(old_users, upgrade, make_app):
    old_users.insert_one(fastapi_user())
    upgrade()
    client = make_app().test_client()
    for typed in ("Grace.Hopper@example.com", "grace.hopper@example.com", "GRACE.HOPPER@EXAMPLE.COM"):
        response = log_in(client, typed)
        assert response.status_code == 200, typed


def test_the_outcome_is_printed(old_users, run):
    old_users.insert_many(
        [fastapi_user(), fastapi_user(email="GRACE.HOPPER@example.com"), fastapi_user(email="A@b.co")]
    )
    result = run("db", "upgrade")
    assert result.exit_code == 1
    assert "E-mail addresses: 3 users, 1 changed to canonical form." in result.stdout
    assert "! 1 address belongs to more than one user" in result.stdout
    assert "run this again after the switch" in result.stdout
    assert "Hopper" not in result.output


def test_users_who_need_a_decision_are_listed(old_users, run):
    old_users.create_index("email")
    old_users.insert_many([odd := fastapi_user(email=None), stuck := fastapi_user(updated_at="yesterday")])
    result = run("db", "upgrade")
    assert result.exit_code == 1
    assert "Indexes changed: users.email_1." in result.stdout
    assert "! 1 user has no e-mail address." in result.stdout
    assert f"  {odd['_id']} (no address)" in result.stdout
    assert "! MongoDB rejected 1 address, 0 because another user took the same one" in result.stdout
    assert f"  {stuck['_id']} (G…@example.com)" in result.stdout


def test_an_unavailable_database_is_reported_with_status_75(run):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    result = run("db", "upgrade", "--json", MONGO_URI=uri, DATABASE_TIMEOUT_MS=200)
    assert result.exit_code == os.EX_TEMPFAIL
    assert "The database is not available (unreachable)" in result.stderr


class OldService(threading.Thread):
    """Signs users up, in mixed case, as the FastAPI version did, until it is stopped."""

    def __init__(self, uri):
        super().__init__(daemon=True)
        self.uri = uri
        self.signed_up = 0
        self.stopped = threading.Event()

    def run(self):
        with pymongo.MongoClient(self.uri) as client:
            while not self.stopped.is_set():
                client.get_default_database()["users"].insert_one(
                    fastapi_user(email=f"Late{self.signed_up}@example.com")
                )
                self.signed_up += 1
                time.sleep(0.005)


def test_a_killed_upgrade_beside_the_old_service_is_completed_by_the_next_run(mongo, mongo_uri):
    uri = mongo_uri.replace("?", "_killed?")
    users = mongo[f"{mongo.get_default_database().name}_killed"]["users"]
    users.drop()
    stored = [fastapi_user(_id=f"{number:024x}", email=f"User{number}@example.com") for number in range(6_000)]
    users.insert_many(stored)
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade", "--json"]
    settings = {"PIXORA_ENV": "testing", "MONGO_URI": uri, "SECRET_KEY": "x", "JWT_SECRET_KEY": "y"}
    lower = {"email": {"$regex": "^u"}}
    service = OldService(uri)
    users.create_indexes(INDEXES["users"])  # which cannot be made while a transaction is open
    with mongo.start_session() as session, session.start_transaction():
        # Until this ends, the upgrade does not get past this user.
        users.update_one({"_id": stored[4_500]["_id"]}, {"$set": {"last_name": "King"}}, session=session)
        service.start()
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE)
        while users.count_documents(lower) < 4_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert 4_000 <= users.count_documents(lower) < 6_000
        session.abort_transaction()
    service.stopped.set()
    service.join()
    last = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, timeout=60)
    assert last.returncode == 0, last.stderr
    assert users.count_documents({}) == 6_000 + service.signed_up
    assert users.count_documents({"email": {"$regex": "[A-Z]"}}) == 0
    mongo.drop_database(users.database.name)
