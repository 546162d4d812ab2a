"""How `db upgrade` brings addresses into canonical form, also beside other writes."""

from datetime import datetime, timedelta

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from pixora import clock
from pixora.database.failures import DUPLICATE_KEY
from pixora.emails import canonical, spellings
from pixora.upkeep import rewriting
from pixora.upkeep.addresses import mask, survey
from tests.factories import fastapi_user
from tests.upkeep.conftest import CLASSIC, emails


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


@pytest.mark.parametrize("address", ["ada@example.com", "a", "", "@", "not an address"])
def test_a_masked_address_shows_one_character_and_the_domain(address):
    assert len(mask(address).partition("@")[0]) <= 2
