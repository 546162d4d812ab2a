"""A deleted account leaves nothing behind: no name, e-mail address, telephone number or id in any collection."""

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
    """The database with empty collections."""
    database = mongo.get_default_database()
    for name in database.list_collection_names():
        database[name].delete_many({})
    return database


@pytest.fixture
def client(make_app, database):
    return make_app(ENUMERATION_SAFE=False, MAX_SESSIONS_PER_USER=3, DATABASE_TIMEOUT_MS=1000).test_client()


@pytest.fixture
def eraser(client, database, token_sent):
    """A user with data in every collection, beside another user and rows of nobody."""
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
    """Return the collections that contain one of these texts, in any field or key, of any type and case."""
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


def test_nothing_remains_of_a_deleted_user(client, eraser, database):
    response = client.delete("/api/users/me", json={"password": PASSWORD}, headers=eraser.bearer)
    assert response.status_code == 204
    assert traces(database, *identifiers(eraser)) == set()


def test_other_users_are_unchanged(client, eraser, database):
    client.delete("/api/users/me", json={"password": PASSWORD}, headers=eraser.bearer)
    assert traces(database, "grace@example.com") == {"users"}
    assert log_in(client, "grace@example.com", PASSWORD).status_code == 200


def test_nothing_remains_of_an_earlier_address_of_a_deleted_user(client, eraser, database, token_sent):
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
    """Complete the erasures some time later, as `mail send` and `db upgrade` do."""

    def complete(after=KEPT):
        with client.application.app_context():
            services.erasure.complete_due(clock.utcnow() + after)

    return complete


@pytest.mark.parametrize("is_safe", [True, False])
def test_the_address_is_removed_from_documents_of_users_who_wanted_it(make_app, client, database, is_safe):
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


def test_a_new_account_with_the_address_is_unchanged(client, database, delete, complete):
    delete()
    other = make_account(client, email="grace2@example.com")
    body = {"email": EMAIL, "password": PASSWORD}
    assert client.post("/api/users/me/email", json=body, headers=other.bearer).status_code == 202
    sign_up(client, email=EMAIL)
    complete()
    assert "change_email" in database["users"].find_one({"_id": other.id})["tokens"]


def test_rows_written_during_an_erasure_are_erased_too(client, database, delete, complete):
    delete()
    other = make_account(client, email="grace2@example.com")
    body = {"email": EMAIL, "password": PASSWORD}
    client.post("/api/users/me/email", json=body, headers=other.bearer)
    complete()
    assert traces(database, EMAIL) == set()


def of(database, **query):
    return list(database["audit"].find(query, sort=[("at", 1), ("event", -1)]))


def test_the_trail_of_a_deleted_user_has_one_pseudonym(client, eraser, database, delete):
    events = [row["event"] for row in of(database, user_id=eraser.id)]
    assert delete().status_code == 204
    rows = of(database, user_id=re.compile("^erased-[0-9a-f]{24}$"))
    assert [row["event"] for row in rows] == [*events, "account_deleted"]
    assert len({row["user_id"] for row in rows}) == 1


def test_the_trail_of_a_deleted_user_names_no_client(client, eraser, database, delete):
    client.post("/api/auth/logout", headers=eraser.bearer | {"X-Request-ID": eraser.id})
    token = log_in(client, EMAIL).json["access_token"]
    client.delete("/api/users/me", json={"password": PASSWORD}, headers={"Authorization": f"Bearer {token}"})
    rows = of(database, user_id=re.compile("^erased-"))
    assert {(row["network"], row["request_id"]) for row in rows} == {(None, None)}
    assert traces(database, *identifiers(eraser)) == set()


def test_two_deleted_users_have_two_pseudonyms(client, database):
    for _ in range(2):
        account = make_account(client, email=EMAIL)
        client.delete("/api/users/me", json={"password": PASSWORD}, headers=account.bearer)
    assert len({row["user_id"] for row in of(database, event="account_deleted")}) == 2


def test_the_actions_of_a_deleted_administrator_stay_in_the_trail(client, eraser, database, delete):
    with client.application.test_request_context(headers={"X-Request-ID": EMAIL.replace("@", ".")}):
        services.audit.record("user_disabled", "6924a1e0c3f1a2b4d5e6f708", by=eraser.id)
    delete()
    [row] = of(database, event="user_disabled")
    [deleted] = of(database, event="account_deleted")
    assert (row["user_id"], row["by"]) == ("6924a1e0c3f1a2b4d5e6f708", deleted["user_id"])
    assert (row["network"], row["request_id"]) == (None, None)


@contextmanager
def locked(mongo, collection, query):
    """Lock documents, so that writes of others time out."""
    with mongo.start_session() as session:
        session.start_transaction()
        assert collection.update_many(query, {"$set": {"locked": True}}, session=session).modified_count
        yield
        session.abort_transaction()


def test_a_deletion_that_cannot_anonymize_rows_succeeds_and_is_completed_later(
    mongo, eraser, database, delete, complete
):
    with locked(mongo, database["audit"], {"user_id": eraser.id, "event": "login"}):
        assert delete().status_code == 204
    assert traces(database, *identifiers(eraser)) == {"audit"}
    complete()
    assert traces(database, *identifiers(eraser)) == set()
    assert database["erasures"].count_documents({}) == 0


def test_a_deletion_does_not_wait_for_an_earlier_unfinished_one(mongo, client, eraser, database, delete, move_clock):
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


def test_an_interrupted_deletion_leaves_the_user_unchanged(mongo, client, eraser, database, delete, complete):
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


def test_rows_of_requests_that_were_running_are_erased_as_well(client, eraser, database, delete, complete):
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


def test_a_deletion_completes_earlier_ones(client, eraser, database, delete, move_clock):
    delete()
    move_clock(minutes=11)
    other = make_account(client, email=EMAIL)
    client.delete("/api/users/me", json={"password": PASSWORD}, headers=other.bearer)
    assert database["erasures"].count_documents({}) == 1


def test_an_erasure_under_another_secret_is_reported_and_dropped(make_app, database, delete, complete, capture_logs):
    delete()
    with make_app(SECRET_KEY="x" * 48).app_context(), capture_logs() as lines:
        services.erasure.complete_due(clock.utcnow() + KEPT)
    assert [line["event"] for line in lines] == ["erasure_unreadable"]
    assert database["erasures"].count_documents({}) == 0


def test_mail_send_completes_erasures(make_app, database, delete, move_clock):
    delete()
    move_clock(minutes=11)
    away = f"smtp://127.0.0.1:{free_port()}"  # also where the letters have to wait
    make_app(SMTP_URL=away).test_cli_runner().invoke(args=["mail", "send"])
    assert database["erasures"].count_documents({}) == 0
