"""Who deletes an account leaves nothing behind: neither name nor address, number nor id, in any collection."""

import hashlib
import re

import pytest

from tests.conftest import make_account
from tests.factories import PASSWORD, signup_body

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
    return make_app(ENUMERATION_SAFE=False, MAX_SESSIONS_PER_USER=3).test_client()


@pytest.fixture
def eraser(client, database, token_sent):
    """Someone of whom there is something everywhere, beside another user and what nobody left."""
    account = make_account(client, email=EMAIL, contact=CONTACT, **NAMES)
    make_account(client, email="grace@example.com")
    log_in(client, EMAIL, PASSWORD)
    log_in(client, EMAIL.upper(), "wrong-password-1")
    log_in(client, "nobody@example.com", "wrong-password-1")
    client.post("/api/auth/signup", json=signup_body(email=EMAIL))
    client.post("/api/auth/password-reset", json={"email": EMAIL})
    client.post("/api/auth/password-reset", json={"email": "nobody@example.com"})
    client.post("/api/auth/verify-email", headers=account.bearer)
    client.patch("/api/users/me", json={"birthday": "1991-01-31"}, headers=account.bearer)
    body = {"email": NEW_EMAIL, "password": PASSWORD}
    client.post("/api/users/me/email", json=body, headers=account.bearer)
    return account


def log_in(client, email, password):
    return client.post("/api/auth/login", data={"username": email, "password": password})


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
        *("users", "throttles", "decoys")
    }
    assert traces(database, *identifiers(eraser)) == {"users", "throttles"}


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
