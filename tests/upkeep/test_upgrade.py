import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pymongo
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from mongod import free_port

from pixora import clock
from pixora.accounts import bulk
from pixora.accounts.users import INDEXES
from pixora.database.failures import DUPLICATE_KEY
from pixora.emails import canonical, spellings
from pixora.services import services
from pixora.upkeep import rewriting
from pixora.upkeep.addresses import mask, survey
from tests import ROOT
from tests.factories import fastapi_user, log_in, sign_up

CLASSIC = datetime(2023, 5, 17, 8, 30, 0, 123000, tzinfo=UTC)


def emails(users):
    return {user["email"] for user in users.find()}


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 3)


def test_every_address_gets_its_canonical_form(old_users, upgrade):
    forms = {
        "ada@example.com": "ada@example.com",
        "Grace.Hopper@Example.COM": "grace.hopper@example.com",
        "JOSE\u0301@example.com": "jos\u00e9@example.com",
        "rene\u0301@example.com": "ren\u00e9@example.com",
        "Ada@XN--BCHER-KVA.example": "ada@b\u00fccher.example",
        "bob@B\u00dcCHER.example": "bob@b\u00fccher.example",
        "Root@LocalHost": "root@localhost",  # refused today, and so is only put into lower case
        "Not An Address": "not an address",
        "\u0130nci@example.com": "i\u0307nci@example.com",
        "straße@example.com": "strasse@example.com",
        "γιώργος@example.com": "γιώργοσ@example.com",
        "ŉame@example.com": "ʼname@example.com",
        " Bea@example.com\n": "bea@example.com",
        "x@straße.example": "x@straße.example",  # not the domain strasse.example
    }
    old_users.insert_many([fastapi_user(email=stored) for stored in forms])
    status, report = upgrade()
    assert status == 0
    assert emails(old_users) == set(forms.values())
    assert report["addresses"]["changed"] == sum(stored != wanted for stored, wanted in forms.items())
    assert upgrade()[1]["addresses"] == report["addresses"] | {"changed": 0, "not_canonical": 0}


ASCII = st.text(st.characters(max_codepoint=127), max_size=20)
DOMAINS = st.from_regex(r"[A-Za-z0-9.-]{1,20}\.(com|CO\.UK|xn--p1ai)", fullmatch=True)


@given(ASCII | st.builds("{}@{}".format, ASCII | st.from_regex(r"[A-Za-z.\"+-]{1,9}", fullmatch=True), DOMAINS))
def test_lowercasing_in_mongodb_gives_the_canonical_form(address):
    assert canonical(address) == spellings(address)[-1]


def test_only_email_and_updated_at_are_changed(old_users, upgrade):
    user = fastapi_user()
    old_users.insert_one(user)
    before = clock.utcnow()
    upgrade()
    [changed] = old_users.find()
    assert before <= changed["updated_at"] <= clock.utcnow()
    assert changed | {"updated_at": CLASSIC} == user | {"email": "grace.hopper@example.com"}


@pytest.mark.parametrize("email", ["Ada@example.com", "JOSÉ@example.com"])
def test_updated_at_always_increases(old_users, upgrade, email):
    ahead = clock.utcnow() + timedelta(days=1)
    old_users.insert_one(fastapi_user(email=email, updated_at=ahead))
    upgrade()
    assert old_users.find_one()["updated_at"] == ahead + timedelta(milliseconds=1)


def test_canonical_addresses_are_not_changed(old_users, upgrade, watch_commands):
    old_users.insert_one(user := fastapi_user(email="grace@example.com"))
    with watch_commands() as commands:
        assert upgrade()[1]["addresses"]["changed"] == 0
    updates = [str(command.command) for command in commands if command.command.get("update") == old_users.name]
    # These forget expired tokens, and correct users who are marked as without a password.
    assert not [update for update in updates if "tokens." not in update and "password_removed_at" not in update]
    assert old_users.find_one() == user


def test_the_indexes_are_created(old_users, upgrade):
    status, report = upgrade()
    assert status == 0
    assert old_users.index_information()["email_1"]["unique"]
    assert "users.email_1" in report["indexes"]["made"]
    assert upgrade()[1]["indexes"] == {"made": [], "changed": [], "advice": {}}


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


def test_an_index_is_made_unique_in_place(old_users, upgrade):
    old_users.create_index("email")
    status, report = upgrade()
    assert status == 0
    assert old_users.index_information()["email_1"] == {"v": 2, "key": [("email", 1)], "unique": True}
    assert report["indexes"]["changed"] == ["users.email_1"]


def test_an_index_under_another_name_is_accepted(old_users, upgrade, run):
    old_users.create_index("email", name="one_account_each", unique=True)
    assert upgrade()[0] == 0
    assert "email_1" not in old_users.index_information()


def test_a_unique_index_is_created_beside_another_one(old_users, upgrade):
    old_users.create_index("email", name="by_email")
    assert upgrade()[0] == 0
    assert old_users.index_information()["email_1"]["unique"]


def test_a_hidden_index_is_unhidden(old_users, upgrade):
    old_users.create_index("email", unique=True, hidden=True)
    assert upgrade()[1]["indexes"]["changed"] == ["users.email_1"]
    assert old_users.index_information()["email_1"] == {"v": 2, "key": [("email", 1)], "unique": True}


@pytest.mark.parametrize("options", [{"expireAfterSeconds": 7}, {}])
def test_the_lifetime_of_throttle_counts_is_changed_in_place(mongo, users, upgrade, options):
    counts = mongo.get_default_database()["throttles"]
    counts.drop()
    counts.create_index("expireAt", name="expireAt_1", **options)
    status, report = upgrade()
    assert (status, report["indexes"]["changed"]) == (0, ["throttles.expireAt_1"])
    assert counts.index_information()["expireAt_1"]["expireAfterSeconds"] == 0


def test_an_index_that_cannot_be_changed_is_reported(old_users, upgrade):
    old_users.create_index("email", sparse=True)
    old_users.insert_one(fastapi_user())
    status, report = upgrade()
    assert status == 1
    assert 'db.users.dropIndex("email_1")' in report["indexes"]["advice"]["users.email_1"]
    assert emails(old_users) == {"Grace.Hopper@example.com"}


def test_users_with_the_same_address_in_another_case_are_not_changed(old_users, upgrade, small_batches):
    old_users.insert_many([fastapi_user(email=email) for email in ("Ada@Example.com", "x@y.com", "Z@example.com")])
    old_users.insert_many([fastapi_user(email="ada@example.com"), fastapi_user(email="A.B@example.com")])
    before = {user["_id"]: user for user in old_users.find({"email": {"$regex": "(?i)^ada"}})}
    status, report = upgrade()
    assert status == 1
    assert {user["_id"]: user for user in old_users.find({"email": {"$regex": "(?i)^ada"}})} == before
    assert emails(old_users) == {"Ada@Example.com", "ada@example.com", "x@y.com", "z@example.com", "a.b@example.com"}
    assert report["addresses"]["clashes"] == 1
    [clash] = report["addresses"]["clashing"]
    assert {user["user_id"] for user in clash["users"]} == set(before)
    assert {user["address"] for user in clash["users"]} == {"A…@Example.com", "a…@example.com"}
    assert "1 address belongs to more than one user" in " ".join(report["advice"])


@pytest.mark.parametrize(
    ("stored", "also"),
    [("straße@example.com", "STRASSE@example.com"), ("γιώργος@example.com", "γιώργοσ@example.com")],
)
def test_users_with_the_same_address_after_case_folding_are_not_changed(old_users, upgrade, stored, also):
    old_users.insert_many([first := fastapi_user(email=stored), second := fastapi_user(email=also)])
    status, report = upgrade()
    assert status == 1
    assert [report["addresses"]["clashes"], report["addresses"]["changed"]] == [1, 0]
    assert list(old_users.find(sort=[("_id", 1)])) == [first, second]


def test_users_with_the_same_address_prevent_the_index_and_every_change(old_users, upgrade):
    old_users.insert_many([fastapi_user(), fastapi_user(), fastapi_user(email="Ada@example.com")])
    status, report = upgrade()
    assert status == 1
    assert "email_1" not in old_users.index_information()
    assert "two users share an e-mail address" in report["indexes"]["advice"]["users.email_1"]
    assert report["addresses"]["clashing"][0]["same_spelling"] is True
    assert emails(old_users) == {"Grace.Hopper@example.com", "Ada@example.com"}
    old_users.delete_one({"email": "Grace.Hopper@example.com"})
    assert upgrade()[0] == 0
    assert emails(old_users) == {"grace.hopper@example.com", "ada@example.com"}


def test_an_index_that_cannot_become_unique_is_left_as_it_was(old_users, upgrade):
    old_users.create_index("email")
    old_users.insert_many([fastapi_user(), fastapi_user()])
    assert upgrade()[0] == 1
    assert old_users.index_information()["email_1"] == {"v": 2, "key": [("email", 1)]}


def test_users_without_an_address_are_reported(old_users, upgrade):
    odd = fastapi_user(email=7)
    old_users.insert_many([odd, fastapi_user()])
    status, report = upgrade()
    assert status == 1
    assert report["addresses"]["without_address"] == [odd["_id"]]
    assert emails(old_users) == {7, "grace.hopper@example.com"}


def test_users_with_ids_of_any_type_are_read(old_users, upgrade, small_batches):
    ids = [1, 2.5, "x", ObjectId(), datetime(2020, 1, 1), True, b"x", "y", "z"]
    old_users.insert_many(
        [fastapi_user(_id=name, email=f"User{number}@example.com") for number, name in enumerate(ids)]
    )
    assert upgrade()[1]["addresses"]["changed"] == len(ids)


def test_a_rejected_change_does_not_affect_the_others(old_users, upgrade):
    old_users.insert_many([fastapi_user(updated_at="yesterday"), fastapi_user(email="Ada@example.com")])
    status, report = upgrade()
    assert status == 1
    [refused] = report["addresses"]["refused"]
    assert refused["address"] == "G…@example.com"
    assert emails(old_users) == {"Grace.Hopper@example.com", "ada@example.com"}


def test_a_clash_after_the_survey_is_rejected_by_the_index(app, users):
    store = app.extensions["services"].users
    users.insert_many([fastapi_user(email="Ada@example.com"), fastapi_user(), fastapi_user(email="JOSÉ@example.com")])
    with app.app_context():
        found = survey(store, lambda number: None)
        users.insert_many([fastapi_user(email="ada@example.com"), fastapi_user(email="josé@example.com")])
        done = rewriting.rewrite(store, found, lambda number: None)
    assert {refusal.code for refusal in done.refused} == {DUPLICATE_KEY}
    assert (done.changed, len(done.refused)) == (1, 2)
    assert {"Ada@example.com", "JOSÉ@example.com", "grace.hopper@example.com"} < emails(users)


@pytest.mark.parametrize("email", ["Grace@example.com", "JOSÉ@example.com"])
def test_a_concurrent_change_is_kept(app, users, email):
    user = fastapi_user(email=email)
    users.insert_one(user)
    with app.app_context():
        users.update_one({}, {"$set": {"email": "New@example.com"}})
        changed, refused = rewriting._change(app.extensions["services"].users, [user])
    assert (changed, refused) == (0, [])
    assert emails(users) == {"New@example.com"}


def test_a_concurrent_sign_up_in_the_old_service_is_upgraded(app, users, small_batches):
    users.insert_many([fastapi_user(email=f"User{number}@example.com") for number in range(10)])
    with app.app_context():
        found = survey(app.extensions["services"].users, lambda number: None)
        users.insert_one(fastapi_user(email="Late@example.com"))
        done = rewriting.rewrite(app.extensions["services"].users, found, lambda number: None)
    assert done.changed == 11


def test_an_interrupted_index_change_is_completed(old_users, upgrade):
    old_users.create_index("email")
    old_users.database.command("collMod", "users", index={"name": "email_1", "prepareUnique": True})
    assert upgrade()[0] == 0
    assert old_users.index_information()["email_1"] == {"v": 2, "key": [("email", 1)], "unique": True}


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


@pytest.mark.parametrize("address", ["ada@example.com", "a", "", "@", "not an address"])
def test_a_masked_address_shows_one_character_and_the_domain(address):
    assert len(mask(address).partition("@")[0]) <= 2


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
