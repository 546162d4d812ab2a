"""What the doctor says of the indexes."""

import pytest

from pixora.accounts.users import INDEXES


def make_all_but_one_index(users):
    users.create_indexes([model for model in INDEXES["users"] if model.document["name"] != "email_1"])


def test_a_missing_index_is_found(old_users, fault_of):
    make_all_but_one_index(old_users)
    message = fault_of("indexes")
    assert "users.email_1 is missing" in message
    assert "db upgrade" in message
    assert "email_1" not in old_users.index_information()


@pytest.mark.parametrize(
    ("options", "what", "advice"),
    [
        ({}, "its unique differs", "→ flask --app wsgi db upgrade"),
        ({"unique": True, "hidden": True}, "its hidden differs", "→ flask --app wsgi db upgrade"),
        ({"unique": True, "sparse": True}, "its sparse differs", 'dropIndex("email_1")'),
        ({"unique": True, "collation": {"locale": "en"}}, "its collation differs", 'dropIndex("email_1")'),
        (
            {"unique": True, "partialFilterExpression": {"email": {"$exists": True}}},
            "its partialFilterExpression differs",
            'dropIndex("email_1")',
        ),
    ],
)
def test_an_index_with_wrong_options_is_found(old_users, fault_of, options, what, advice):
    make_all_but_one_index(old_users)
    old_users.create_index("email", name="email_1", **options)
    message = fault_of("indexes")
    assert what in message
    assert advice in message


def test_a_wrong_lifetime_of_throttle_counts_is_found(mongo, users, fault_of):
    counts = mongo.get_default_database()["throttles"]
    counts.drop()
    counts.create_index("expireAt", name="expireAt_1", expireAfterSeconds=3600)
    assert "throttles.expireAt_1 is wrong: its expireAfterSeconds differs" in fault_of("indexes")
    counts.drop_indexes()
    counts.create_index("expireAt", name="expireAt_1", expireAfterSeconds=0)


def test_an_empty_database_only_lacks_indexes(mongo, doctor, settings):
    uri = settings.mongo_uri.replace("?", "_empty?")
    status, found = doctor(MONGO_URI=uri)
    assert status == 1
    assert {name for name, findings in found.items() if "fault" in {state for state, _, _ in findings}} == {"indexes"}
    assert f"{mongo.get_default_database().name}_empty" not in mongo.list_database_names()


def test_an_additional_index_is_accepted(users, doctor):
    users.create_index("last_name")
    assert doctor()[0] == 0
    users.drop_index("last_name_1")
