"""Who deletes an account leaves nothing behind: neither name nor address, number nor id, in any collection."""

import hashlib
import re
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from mongod import free_port

from pixora import clock
from pixora.accounts.erasure import KEPT
from pixora.services import services
from tests.conftest import make_account
from tests.factories import PASSWORD, log_in, sign_up
from tests.timeouts import SOON

NAMES = {"first_name": "Xanthippe", "last_name": "Quackenbush"}
EMAIL = "xanthippe.quackenbush@example.com"
NEW_EMAIL = "countess.xanthippe@example.com"
CONTACT = "+442079460123"


@pytest.fixture
def database(mongo, users, counts):
    """The database, all of its collections empty."""
    database = mongo.get_default_database()
    for name in database.list_collection_names():
        database[name].delete_many({})
    return database


@pytest.fixture
def client(make_app, database):
    return make_app(ENUMERATION_SAFE=False, MAX_SESSIONS_PER_USER=3, DATABASE_TIMEOUT_MS=1000).test_client()


@pytest.fixture
def eraser(client, database, token_sent):
    """Someone of whom there is something everywhere, beside another user and what nobody left."""
    account = make_account(client, email=EMAIL, contact=CONTACT, **NAMES)
    make_account(client, email="grace@example.com")
    log_in(client, EMAIL, PASSWORD)
    log_in(client, EMAIL.upper(), "wrong-password-1")
    log_in(client, "nobody@example.com", "wrong-password-1")
    sign_up(client, email=EMAIL)
    client.post("/api/auth/password-reset", json={"email": EMAIL})
    client.post("/api/auth/password-reset", json={"email": "nobody@example.com"})
    client.post("/api/auth/verify-email", headers=account.bearer)
    client.patch("/api/users/me", json={"birthday": "1991-01-31"}, headers=account.bearer)
    body = {"email": NEW_EMAIL, "password": PASSWORD}
    client.post("/api/users/me/email", json=body, headers=account.bearer)
    return account


def traces(database, *texts):
    """The collections with one of these texts in them, in any field or key, whatever its type and case."""
    pattern = re.compile("|".join(map(re.escape, texts)), re.IGNORECASE)
    return {
        name
        for name in database.list_collection_names()
        for document in database[name].find()
        if pattern.search(repr(document))
    }


def identifiers(account):
    digests = [hashlib.sha256(email.encode()).hexdigest() for email in (EMAIL,)]
    return [account.id, EMAIL, NEW_EMAIL, "xanthippe", "quackenbush", CONTACT, CONTACT[1:], *digests]


def test_the_seed_is_everywhere(client, eraser, database):
    assert {name for name in database.list_collection_names() if database[name].count_documents({})} == {
        *("users", "throttles", "decoys", "audit")
    }
    assert traces(database, *identifiers(eraser)) == {"users", "audit"}


def test_nothing_of_who_is_erased_stays_anywhere(client, eraser, database):
    response = client.delete("/api/users/me", json={"password": PASSWORD}, headers=eraser.bearer)
    assert response.status_code == 204
    assert traces(database, *identifiers(eraser)) == set()


def test_everybody_else_stays(client, eraser, database):
    client.delete("/api/users/me", json={"password": PASSWORD}, headers=eraser.bearer)
    assert traces(database, "grace@example.com") == {"users"}
    assert log_in(client, "grace@example.com", PASSWORD).status_code == 200


def test_nothing_of_an_account_that_has_moved_stays_either(client, eraser, database, token_sent):
    client.post("/api/auth/change-email/confirm", json={"token": token_sent(NEW_EMAIL, "change_email")})
    response = client.delete("/api/users/me", json={"password": PASSWORD}, headers=eraser.bearer)
    assert response.status_code == 204
    texts = set(identifiers(eraser)) - {hashlib.sha256(EMAIL.encode()).hexdigest()}
    assert traces(database, *texts, hashlib.sha256(NEW_EMAIL.encode()).hexdigest()) == set()


@pytest.fixture
def delete(client, eraser):
    def delete():
        return client.delete("/api/users/me", json={"password": PASSWORD}, headers=eraser.bearer)

    return delete


@pytest.fixture
def complete(client):
    """Do what `mail send` and `db upgrade` do for the erasures, some time later."""

    def complete(after=KEPT):
        with client.application.app_context():
            services.erasure.complete_due(clock.utcnow() + after)

    return complete


@pytest.mark.parametrize("is_safe", [True, False])
def test_nothing_stays_in_the_documents_of_others_who_wanted_the_address(make_app, client, database, is_safe):
    other = make_account(client, email="grace@example.com")
    database["users"].update_one({"_id": other.id}, {"$set": {"email_verified": True}})  # or she is not told which
    asked = make_app(ENUMERATION_SAFE=is_safe).test_client()
    ask = {"path": "/api/users/me/email", "json": {"email": EMAIL, "password": PASSWORD}, "headers": other.bearer}
    if not is_safe:  # before the address is taken
        assert asked.post(**ask).status_code == 202
    owner = make_account(client, email=EMAIL)
    if is_safe:
        assert asked.post(**ask).status_code == 202
    assert EMAIL in repr(database["users"].find_one({"_id": other.id}))
    response = client.delete("/api/users/me", json={"password": PASSWORD}, headers=owner.bearer)
    assert response.status_code == 204
    assert traces(database, EMAIL) == set()
    letters = database["users"].find_one({"_id": other.id})["letters"]
    assert [letter["template"] for letter in letters] == ["verify_email", "email_changing"]  # the notice still goes out
    assert letters[-1]["context"] == {"new_email": "(deleted)"}


def test_who_signs_up_with_the_address_again_keeps_what_is_theirs(client, database, delete, complete):
    delete()
    other = make_account(client, email="grace2@example.com")
    body = {"email": EMAIL, "password": PASSWORD}
    assert client.post("/api/users/me/email", json=body, headers=other.bearer).status_code == 202
    sign_up(client, email=EMAIL)
    complete()
    assert "change_email" in database["users"].find_one({"_id": other.id})["tokens"]


def test_what_is_written_while_an_account_is_erased_goes_with_the_rest(client, database, delete, complete):
    delete()
    other = make_account(client, email="grace2@example.com")
    body = {"email": EMAIL, "password": PASSWORD}
    client.post("/api/users/me/email", json=body, headers=other.bearer)
    complete()
    assert traces(database, EMAIL) == set()


def of(database, **query):
    return list(database["audit"].find(query, sort=[("at", 1), ("event", -1)]))


def test_the_trail_of_who_is_erased_stays_under_one_pseudonym(client, eraser, database, delete):
    events = [row["event"] for row in of(database, user_id=eraser.id)]
    assert delete().status_code == 204
    rows = of(database, user_id=re.compile("^erased-[0-9a-f]{24}$"))
    assert [row["event"] for row in rows] == [*events, "account_deleted"]
    assert len({row["user_id"] for row in rows}) == 1


def test_the_trail_of_who_is_erased_leads_to_no_client(client, eraser, database, delete):
    client.post("/api/auth/logout", headers=eraser.bearer | {"X-Request-ID": eraser.id})
    token = log_in(client, EMAIL).json["access_token"]
    client.delete("/api/users/me", json={"password": PASSWORD}, headers={"Authorization": f"Bearer {token}"})
    rows = of(database, user_id=re.compile("^erased-"))
    assert {(row["network"], row["request_id"]) for row in rows} == {(None, None)}
    assert traces(database, *identifiers(eraser)) == set()


def test_two_who_are_erased_have_two_pseudonyms(client, database):
    for _ in range(2):
        account = make_account(client, email=EMAIL)
        client.delete("/api/users/me", json={"password": PASSWORD}, headers=account.bearer)
    assert len({row["user_id"] for row in of(database, event="account_deleted")}) == 2


def test_what_an_administrator_did_to_others_stays_when_the_administrator_is_erased(client, eraser, database, delete):
    with client.application.test_request_context(headers={"X-Request-ID": EMAIL.replace("@", ".")}):
        services.audit.record("user_disabled", "6924a1e0c3f1a2b4d5e6f708", by=eraser.id)
    delete()
    [row] = of(database, event="user_disabled")
    [deleted] = of(database, event="account_deleted")
    assert (row["user_id"], row["by"]) == ("6924a1e0c3f1a2b4d5e6f708", deleted["user_id"])
    assert (row["network"], row["request_id"]) == (None, None)


@contextmanager
def locked(mongo, collection, query):
    """Keep documents from being written by others, whose time then runs out."""
    with mongo.start_session() as session:
        session.start_transaction()
        assert collection.update_many(query, {"$set": {"locked": True}}, session=session).modified_count
        yield
        session.abort_transaction()


def test_a_deletion_whose_rows_cannot_be_written_succeeds_and_is_completed_later(
    mongo, eraser, database, delete, complete
):
    with locked(mongo, database["audit"], {"user_id": eraser.id, "event": "login"}):
        assert delete().status_code == 204
    assert traces(database, *identifiers(eraser)) == {"audit"}
    complete()
    assert traces(database, *identifiers(eraser)) == set()
    assert database["erasures"].count_documents({}) == 0


def test_a_deletion_does_not_wait_for_one_before_it_that_still_cannot_be_completed(
    mongo, client, eraser, database, delete, move_clock
):
    other = make_account(client, email="mary@example.com")
    with locked(mongo, database["audit"], {"user_id": eraser.id, "event": "login"}):
        delete()
        move_clock(minutes=11)
        token = log_in(client, other.email, PASSWORD).json["access_token"]
        started = time.monotonic()
        headers = {"Authorization": f"Bearer {token}"}
        assert client.delete("/api/users/me", json={"password": PASSWORD}, headers=headers).status_code == 204
        assert time.monotonic() - started < SOON
    assert traces(database, other.id) == set()


def test_a_deletion_that_was_cut_off_before_it_began_leaves_the_user_all_there(
    mongo, client, eraser, database, delete, complete
):
    with locked(mongo, database["users"], {"_id": eraser.id}):
        assert delete().status_code == 503
    assert database["erasures"].count_documents({}) == 1
    complete()
    assert of(database, user_id=eraser.id)
    assert database["erasures"].count_documents({}) == 0
    assert client.get("/api/users/me", headers=eraser.bearer).status_code == 200


def test_a_note_of_an_erasure_has_no_id_in_clear(eraser, database, delete):
    delete()
    [note] = database["erasures"].find()
    assert eraser.id not in repr(note)
    assert bytes.fromhex(eraser.id) not in note["user"]


def test_what_a_request_records_that_was_under_way_is_erased_as_well(client, eraser, database, delete, complete):
    delete()
    with client.application.test_request_context():
        services.audit.record("login_failed", eraser.id)  # it has read the account before it was gone, and hashed since
    complete(KEPT - timedelta(seconds=10))
    assert of(database, user_id=eraser.id)
    complete()
    assert traces(database, *identifiers(eraser)) == set()
    assert {row["user_id"] for row in of(database, event="login_failed") if row["user_id"]} == {
        row["user_id"] for row in of(database, event="account_deleted")
    }


def test_a_deletion_completes_those_before_it(client, eraser, database, delete, move_clock):
    delete()
    move_clock(minutes=11)
    other = make_account(client, email=EMAIL)
    client.delete("/api/users/me", json={"password": PASSWORD}, headers=other.bearer)
    assert database["erasures"].count_documents({}) == 1


def test_an_erasure_under_another_secret_is_reported_and_not_tried_for_ever(
    make_app, database, delete, complete, capture_logs
):
    delete()
    with make_app(SECRET_KEY="x" * 48).app_context(), capture_logs() as lines:
        services.erasure.complete_due(clock.utcnow() + KEPT)
    assert [line["event"] for line in lines] == ["erasure_unreadable"]
    assert database["erasures"].count_documents({}) == 0


def test_the_erasures_are_completed_by_the_command_that_sends_letters(make_app, database, delete, move_clock):
    delete()
    move_clock(minutes=11)
    away = f"smtp://127.0.0.1:{free_port()}"  # also where the letters have to wait
    make_app(SMTP_URL=away).test_cli_runner().invoke(args=["mail", "send"])
    assert database["erasures"].count_documents({}) == 0
