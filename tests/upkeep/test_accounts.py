"""What the doctor says of addresses, hashes and erasures."""

from datetime import timedelta

import pytest

from pixora import clock
from pixora.accounts import hash_census
from tests.factories import ARGON2ID, HASH_2B, fastapi_user


@pytest.mark.parametrize("email", ["straße@example.com", "γιώργος@example.com", "ada@example.com "])
def test_an_address_in_another_form_is_found(users, fault_of, email):
    users.insert_one(fastapi_user(email=email))
    assert fault_of("addresses").startswith("1 of 1 e-mail addresses are not in canonical form")


@pytest.mark.parametrize(
    "emails", [("ada@example.com", "Ada@Example.com"), ("asse@example.com", "aße@example.com")], ids=["lower", "folded"]
)
def test_an_address_in_two_spellings_is_found(users, doctor, emails):
    pair = [fastapi_user(email=email) for email in emails]
    users.insert_many([*pair, fastapi_user(email="grace@example.com")])
    status, found = doctor()
    assert status == 1
    [message] = [message for state, message, _ in found["addresses"] if "more than one user" in message]
    assert "1 e-mail address belongs to more than one user" in message
    assert all(user["_id"] in message for user in pair)
    assert "a…@example.com" in message


def test_only_some_of_many_shared_addresses_are_listed(users, doctor):
    users.insert_many(fastapi_user(email=f"user{n}@example.com") for n in range(200))
    users.insert_many(fastapi_user(email=f"USER{n}@example.com") for n in range(200))
    [message] = [message for _, message, _ in doctor()[1]["addresses"] if "more than one user" in message]
    assert message.startswith("200 e-mail addresses belong to more than one user")
    assert message.endswith("; and 190 more.")


def test_users_without_an_address_are_found(users, fault_of):
    users.insert_one(user := fastapi_user(email=None))
    assert user["_id"] in fault_of("addresses")


def test_a_hash_that_is_too_cheap_is_found(users, fault_of):
    users.insert_many([fastapi_user(email="grace@example.com"), fastapi_user(email="ada@example.com")])
    users.insert_one(fastapi_user(email="x@example.com", password=HASH_2B.replace("$04$", "$12$")))
    message = fault_of("hashes", BCRYPT_ROUNDS=12)
    assert "2 of 3 password hashes cost less than BCRYPT_ROUNDS=12 (cost 4: 2)" in message
    assert "upgraded when its owner logs in" in message


@pytest.mark.parametrize(
    "stored",
    [
        "hunter2$argon2id$hunter2",
        "",
        None,
        7,
        HASH_2B[:-1],
        HASH_2B.replace("$04$", "$31$"),
        HASH_2B + "x",
        HASH_2B + "\n",
        HASH_2B.replace("OOQ5EOvO", "OOQ5EPvO"),
        HASH_2B[:-1] + "f",
        ARGON2ID.replace("m=64", "m=99999999"),
        ARGON2ID.replace("t=1", "t=01"),
        ARGON2ID[:-1] + "1",
        ARGON2ID[:-30],
        "$hunter2$",
    ],
)
def test_a_malformed_hash_is_found_and_not_shown(users, fault_of, stored):
    users.insert_one(fastapi_user(email="grace@example.com", password=stored))
    message = fault_of("hashes")
    assert "1 of 1 password hashes are malformed" in message
    assert "hunter2" not in message


def test_a_hash_that_costs_more_than_new_ones_is_found(users, doctor):
    users.insert_one(fastapi_user(email="grace@example.com", password=HASH_2B.replace("$04$", "$06$")))
    status, found = doctor()
    assert status == 0
    assert "1 of 1 password hashes cost more than BCRYPT_ROUNDS=4 (cost 6: 1)" in found["hashes"][0][1]


def test_imported_hashes_are_reported(users, doctor):
    users.insert_one(fastapi_user(email="grace@example.com", password=ARGON2ID))
    status, found = doctor()
    assert status == 0
    assert found["hashes"][0][:2] == ("warning", "1 of 1 password hashes are not bcrypt (argon2id: 1).")


@pytest.fixture
def without_password(users):
    """One user has a password, two have removed it, and one is invited."""
    now, none = clock.utcnow(), fastapi_user()
    del none["password"]
    states = {"ada": {}, "grace": {"password_removed_at": now}, "mary": {"password_removed_at": now}}
    states |= {"guest": {"invited_at": now}}
    for name, state in states.items():
        user = fastapi_user() if name == "ada" else none
        users.insert_one(user | {"_id": f"{name:0>24}", "email": f"{name}@example.com"} | state)


def test_users_who_have_removed_their_password_are_counted(without_password, doctor):
    status, found = doctor()
    assert status == 0
    assert [finding[1] for finding in found["hashes"]] == [
        "Users who log in with passkeys only: 2.",
        "Of 1 password hashes, none costs less than BCRYPT_ROUNDS=4.",
    ]


def test_where_passkeys_are_turned_off_these_users_are_a_fault(without_password, fault_of):
    message = fault_of("hashes", WEBAUTHN_ORIGINS=[])
    assert "cannot log in without WEBAUTHN_ORIGINS: 2. → Set WEBAUTHN_ORIGINS again." in message


def test_a_sample_of_very_many_hashes_is_checked(users, doctor, monkeypatch):
    monkeypatch.setattr(hash_census, "MOST_COUNTED", 10)
    monkeypatch.setattr(hash_census, "SAMPLE", 15)
    users.insert_many(fastapi_user(email=f"user{number}@example.com") for number in range(20))
    assert "a sample of 15" in doctor()[1]["hashes"][0][1]


def test_unfinished_erasures_are_found(mongo, fault_of):
    notes = mongo.get_default_database()["erasures"]
    notes.insert_one({"at": clock.utcnow() - timedelta(days=1)})
    assert "Unfinished erasures: 1." in fault_of("erasures")
    notes.delete_many({})
