"""The cost of rejecting a login when stored hashes differ in cost."""

import math
import time

import bcrypt
import pytest

from pixora import clock
from pixora.accounts import hash_census
from pixora.passwords import verify
from pixora.passwords.verify import MeasuredCost, hash_password, kind
from tests.factories import ARGON2ID, HASH_2B, PASSWORD, PBKDF2, SCRYPT, fastapi_user, log_in

ANSWER_SECONDS = 60


@pytest.fixture
def store(users):
    def store(**hashes):
        for name, stored in hashes.items():
            users.insert_one(fastapi_user(email=f"{name}@example.com", password=stored))

    return store


@pytest.fixture
def counted(make_app):
    """An application that has counted the hashes."""

    def counted(**settings):
        app = make_app(**settings)
        cost = app.extensions["services"].refusal_cost
        cost()
        deadline = time.monotonic() + ANSWER_SECONDS
        while cost._lock.locked():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return app

    return counted


@pytest.fixture
def work(monkeypatch):
    """Record bcrypt's work, in units of the cheapest check."""
    done, check = [], bcrypt.checkpw
    monkeypatch.setattr(
        "pixora.passwords.verify.bcrypt.checkpw",
        lambda *args: done.append(2 ** (int(args[1][4:6]) - 4)) or check(*args),
    )
    return done


@pytest.fixture
def refuse(work):
    """Fail to log in; return the work it took."""

    def refuse(app, name, password="wrong-password-1"):
        work.clear()
        assert log_in(app.test_client(), f"{name}@example.com", password).status_code == 401
        return sum(work)

    return refuse


def test_every_refusal_costs_as_much_as_the_most_expensive_hash(counted, store, users, refuse):
    store(old=hash_password(PASSWORD, 5), today=hash_password(PASSWORD, 6), dear=hash_password(PASSWORD, 8))
    store(corrupt="$2b$06$corrupt", gone=hash_password(PASSWORD, 5))
    users.update_one({"email": "gone@example.com"}, {"$set": {"disabled": True}})
    store(none=HASH_2B)
    removed = {"$unset": {"password": True}, "$set": {"password_removed_at": clock.utcnow()}}
    users.update_one({"email": "none@example.com"}, removed)
    app = counted(BCRYPT_ROUNDS=6)
    names = "old", "today", "dear", "corrupt", "gone", "none", "nobody", "noone"
    assert {refuse(app, name) for name in names} == {2**4}
    assert refuse(app, "gone", PASSWORD) == refuse(app, "none", PASSWORD) == 2**4


def test_a_refusal_costs_the_same_after_a_login_has_upgraded_the_hash(counted, store, users, refuse):
    store(ada=hash_password(PASSWORD, 4))
    app = counted(BCRYPT_ROUNDS=8)
    before = refuse(app, "ada")
    assert log_in(app.test_client()).status_code == 200
    assert kind(users.find_one()["password"]) == 8
    assert refuse(app, "ada") == before == refuse(app, "nobody")


def test_no_login_attempt_changes_the_cost_of_a_refusal(counted, store, refuse):
    store(**{f"user{number}": hash_password(PASSWORD, 4) for number in range(5)})
    app = counted(BCRYPT_ROUNDS=7)
    for number in range(5):
        refuse(app, f"user{number}")
    assert refuse(app, "nobody") == 2**3


def test_a_more_expensive_phc_hash_counts_too(counted, store, monkeypatch):
    monkeypatch.setattr(verify, "_measured", {kind(ARGON2ID): MeasuredCost(0.0, 3 * 2**6)})
    store(ada=ARGON2ID, grace=HASH_2B)
    assert counted(BCRYPT_ROUNDS=5).extensions["services"].refusal_cost() == math.log2(3 * 2**6)


def test_before_the_first_count_a_refusal_has_the_current_cost_and_no_request_waits(make_app):
    app = make_app(BCRYPT_ROUNDS=7, MONGO_URI="mongodb://127.0.0.1:1/pixora")
    assert app.extensions["services"].refusal_cost() == 7


def test_hashes_are_counted_as_a_login_reads_them(app, store, users):
    store(a=HASH_2B, b=HASH_2B.replace("$2b$", "$2y$"), c=ARGON2ID, d=SCRYPT, e=PBKDF2, f="", g=None, h=HASH_2B + "\n")
    store(i=ARGON2ID.replace("g$a", "h$a"), j=ARGON2ID.replace("f/g", "f.g"))
    missing = fastapi_user(email="k@example.com")
    del missing["password"]
    now = clock.utcnow()
    users.insert_one(missing)
    users.insert_one(missing | {"_id": "l", "email": "l@example.com", "password_removed_at": now})
    users.insert_one(missing | {"_id": "m", "email": "m@example.com", "invited_at": now})
    census = hash_census.count_hashes(app.extensions["services"].users)
    assert census.without == 1
    assert census.counts == {4: 2, kind(ARGON2ID): 1, kind(SCRYPT): 1, kind(PBKDF2): 1}
    assert census.unreadable == 6
    assert not census.is_sample
