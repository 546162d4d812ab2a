"""How `db upgrade` creates and changes indexes."""

import pytest

from tests.factories import fastapi_user
from tests.upkeep.conftest import emails


def test_the_indexes_are_created(old_users, upgrade):
    status, report = upgrade()
    assert status == 0
    assert old_users.index_information()["email_1"]["unique"]
    assert "users.email_1" in report["indexes"]["made"]
    assert upgrade()[1]["indexes"] == {"made": [], "changed": [], "advice": {}}


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


def test_an_interrupted_index_change_is_completed(old_users, upgrade):
    old_users.create_index("email")
    old_users.database.command("collMod", "users", index={"name": "email_1", "prepareUnique": True})
    assert upgrade()[0] == 0
    assert old_users.index_information()["email_1"] == {"v": 2, "key": [("email", 1)], "unique": True}
