"""`metadata`, the free JSON object of a user: its rules, its merge patches, and changes of it at once.

Over several processes: tests/system/test_races.py.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixora import clock
from pixora.accounts import metadata
from pixora.accounts.documents import new_user
from pixora.web.metadata import LIMIT, PATCH_LIMIT, merge, size
from tests.factories import HASH_2B, PASSWORD, signup_body
from tests.interpreter import MOST_SECONDS, seconds_held

ME = "/api/users/me"
NAMES = "Names must not be empty or __proto__, and must not contain $ or a dot."
TOO_LARGE = "Must take at most 4096 bytes, as compact JSON in UTF-8."
TOO_DEEP = "Must nest at most 5 levels of objects and arrays, itself included."

LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | st.text("a$é.", max_size=3)
)
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), LEAVES, max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from("abcd"), LEAVES | inner | st.lists(LEAVES | inner, max_size=2), max_size=3
    ),
    max_leaves=8,
)


@pytest.fixture
def get(client, account):
    return lambda: client.get(ME, headers=account.bearer)


@pytest.fixture
def patch(client, account):
    """Change the metadata by a merge patch, given as a value or as text."""

    def patch(value, **headers):
        text = value if isinstance(value, str) else json.dumps(value)
        headers = {name.replace("_", "-"): header for name, header in headers.items()}
        return client.patch(
            ME, data=f'{{"metadata":{text}}}', content_type="application/json", headers=account.bearer | headers
        )

    return patch


def of_size(length, name="x"):
    """Return an object of so many bytes."""
    return {name: "a" * (length - len(f'{{"{name}":""}}'))}


def nested(levels, inner=1):
    for _ in range(levels):
        inner = {"a": inner}
    return inner


def test_a_profile_has_no_metadata_until_there_is_some(get, users):
    assert not {"metadata", "app_metadata"} & set(get().json)
    assert not {"metadata", "app_metadata"} & set(users.find_one())


def test_metadata_is_stored_as_a_plain_object_and_shown_as_it_was_sent(get, patch, users):
    sent = {"z": 1, "a": [1.5, None, {"b": [True]}], "ü": "é\n", "big": 2**63 - 1, "small": -(2**63), "o": {}}
    assert patch(sent).json["metadata"] == sent
    assert list(get().json["metadata"]) == list(sent)
    assert users.find_one()["metadata"] == sent


# RFC 7396, appendix A, as far as the target is an object.
@pytest.mark.parametrize(
    ("stored", "sent", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, {"b": {"a": {"bb": {"ccc": None}}}}, {"a": "foo", "b": {"a": {"bb": {}}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": [{"b": {"c": 1}}]}, {"a": {"b": {"d": 2}}}, {"a": {"b": {"d": 2}}}),
        ({"a": 1}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({"0": {"0": 1}}, {"0": {"1": 2}}, {"0": {"0": 1, "1": 2}}),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
def test_a_change_is_a_json_merge_patch(get, patch, stored, sent, result):
    assert patch(stored).json["metadata"] == stored
    assert patch(sent).json["metadata"] == result == merge(stored, sent)
    assert get().json["metadata"] == result


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(stored=OBJECTS, change=OBJECTS)
def test_mongodb_merges_as_the_rfc_has_it(app, users, stored, change):
    users.delete_many({})
    user = new_user(signup_body(metadata=stored), HASH_2B, clock.utcnow())
    users.insert_one(user)
    [stages, condition] = metadata.merging({"metadata": change}, clock.utcnow())
    assert users.update_one({"_id": user["_id"], **condition}, stages).matched_count == 1
    found = users.find_one()
    assert found["metadata"] == merge(merge({}, stored), change)
    assert found["metadata_size"] >= size(found["metadata"])


def test_null_removes_all_of_it(get, patch, users):
    patch({"a": 1})
    before = users.find_one()
    assert patch(None).status_code == 200
    assert "metadata" not in get().json
    assert set(before) - set(users.find_one()) == {"metadata", "metadata_size"}
    assert patch(None).status_code == 200


def test_an_object_without_names_is_an_empty_object(get, patch):
    assert patch({}).json["metadata"] == {}
    patch({"a": 1})
    assert patch({"a": None}).json["metadata"] == get().json["metadata"] == {}


@pytest.mark.parametrize("text", ["[]", '"a"', "1", "true", "[{}]"])
def test_anything_but_an_object_is_refused(patch, users, text):
    before = users.find_one()
    response = patch(text)
    assert (response.status_code, response.json["errors"]) == (422, {"metadata": ["Must be a JSON object."]})
    assert users.find_one() == before


@pytest.mark.parametrize("body", ["null", "[]", '[{"metadata":{"a":1}}]', '"metadata"', "1", '{"metadata":{}}{}'])
def test_a_body_that_is_no_object_changes_nothing(client, account, users, body):
    before = users.find_one()
    response = client.patch(ME, data=body, content_type="application/json", headers=account.bearer)
    assert response.status_code == (400 if body.endswith("}{}") else 422)
    assert users.find_one() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (text % name, NAMES)
            for name in ("$set", "$", "a$b", "a.b", ".", "", "__proto__")
            for text in ('{"%s":1}', '{"a":{"%s":null}}', '{"a":[{"%s":{}}]}')
        ),
        (r'{"a\u0000":1}', "Must not contain NUL or lone surrogates."),
        (r'{"a":["\u0000"]}', "Must not contain NUL or lone surrogates."),
        (r'{"a":"\ud800"}', "Must not contain NUL or lone surrogates."),
        (r'{"\udfff":null}', "Must not contain NUL or lone surrogates."),
        ('{"a":9223372036854775808}', "Must not contain integers that do not fit 64 bits."),
        ('{"a":[-9223372036854775809]}', "Must not contain integers that do not fit 64 bits."),
        ('{"a":%s}' % ("9" * 4000), "Must not contain integers that do not fit 64 bits."),
        ('{"a":1e999}', "Must not contain numbers that do not fit 64 bits."),
        (json.dumps(nested(6)), TOO_DEEP),
        ('{"a":[[[[[]]]]]}', TOO_DEEP),
        ('{"a":%s}' % ("[" * 90 + "]" * 90), TOO_DEEP),
        (json.dumps(of_size(LIMIT + 1)), TOO_LARGE),
        (json.dumps(of_size(PATCH_LIMIT + 1)), TOO_LARGE),
        (json.dumps({"a": "é" * 2045}), TOO_LARGE),
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_refused(patch, users, text, message):
    before = users.find_one()
    response = patch(text)
    assert (response.status_code, response.json["errors"]) == (422, {"metadata": [message]})
    assert users.find_one() == before


@pytest.mark.parametrize("text", ['{"a":NaN}', '{"a":Infinity}', '{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', '{"a":1,}'])
def test_what_is_no_json_is_malformed(patch, text):
    assert (patch(text).status_code, patch(text).json["code"]) == (400, "malformed_body")


@pytest.mark.parametrize(
    "sent", [nested(5), {"a": [[[[]]]]}, of_size(LIMIT), {"a": "é" * 2044}, {"a b": {"@": "$a.b"}}]
)
def test_what_just_fits_is_stored(get, patch, sent):
    assert patch(sent).status_code == 200
    assert get().json["metadata"] == sent


def test_the_whole_object_is_limited_and_not_the_patch_alone(get, patch):
    assert patch(of_size(2100, "a")).status_code == 200
    refused = patch(of_size(2100, "b"))
    assert (refused.status_code, refused.json["errors"]) == (422, {"metadata": [TOO_LARGE]})
    assert patch({**of_size(2100, "b"), "a": None}).json["metadata"] == of_size(2100, "b")


def test_a_name_is_changed_in_full_metadata_as_often_as_one_likes(get, patch):
    assert patch({**of_size(LIMIT - 6, "a"), "b": 0}).status_code == 200
    for number in range(9, 0, -1):
        assert patch({"b": number}).status_code == 200
    assert size(get().json["metadata"]) == LIMIT
    assert patch({"b": 10}).status_code == 422


def test_metadata_whose_size_is_not_known_is_measured(patch, users):
    users.update_one({}, {"$set": {"metadata": of_size(LIMIT - 6, "a")}})  # by hand
    assert patch({"b": 10}).status_code == 422
    assert patch({"b": 1}).status_code == 200
    assert users.find_one()["metadata_size"] == size(users.find_one()["metadata"]) == LIMIT


def test_app_metadata_is_seen_and_not_changed_by_the_user(client, account, get, users):
    users.update_one({}, {"$set": {"app_metadata": {"plan": "gold"}}})
    assert get().json["app_metadata"] == {"plan": "gold"}
    refused = client.patch(ME, json={"app_metadata": {"plan": "lead"}}, headers=account.bearer)
    assert (refused.status_code, refused.json["errors"]) == (422, {"app_metadata": ["Unknown field."]})


def test_a_sign_up_takes_no_metadata(client, users):
    for name in ("metadata", "app_metadata"):
        refused = client.post("/api/auth/signup", json=signup_body(**{name: {"plan": "gold"}}))
        assert (refused.status_code, refused.json["errors"]) == (422, {name: ["Unknown field."]})


def test_metadata_and_other_fields_are_changed_together_or_not_at_all(client, account, users):
    body = {"first_name": "Augusta", "metadata": {"a": 1}}
    changed = client.patch(ME, json=body, headers=account.bearer).json
    assert (changed["first_name"], changed["metadata"]) == ("Augusta", {"a": 1})
    before = users.find_one()
    body = {"first_name": "Byron", "metadata": of_size(LIMIT, "b")}
    assert client.patch(ME, json=body, headers=account.bearer).status_code == 422
    assert users.find_one() == before


def test_each_change_has_a_tag_of_its_own_and_an_old_one_is_refused(get, patch):
    tags = [get().headers["ETag"], patch({"a": 1}).headers["ETag"], patch({"a": 2}).headers["ETag"]]
    assert len(set(tags)) == 3
    refused = patch({"a": 3}, If_Match=tags[1])
    assert (refused.status_code, refused.json["code"]) == (412, "precondition_failed")
    assert patch({"a": 4}, If_Match=tags[2]).status_code == 200
    assert get().json["metadata"] == {"a": 4}


def test_a_change_takes_one_write_after_authentication(patch, watch_commands):
    patch({"a": 1})
    with watch_commands() as commands:
        patch({"b": {"c": 1}})
    assert [command.command_name for command in commands] == ["find", "findAndModify"]


def test_changes_at_once_of_nearly_full_metadata_never_exceed_the_limit(app, account, get, users):
    users.update_one({}, {"$set": {"metadata": of_size(3000, "a"), "metadata_size": 3000}})

    def change(number):
        body = {"metadata": {f"n{number:02}": "b" * 95}}  # 104 bytes, with its comma
        return app.test_client().patch(ME, json=body, headers=account.bearer).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(change, range(20)))
    assert set(statuses) == {200, 422}
    assert statuses.count(200) == (LIMIT - 3000) // 104
    found = get().json["metadata"]
    assert size(found) <= LIMIT
    assert {f"n{number:02}" for number, status in enumerate(statuses) if status == 200} == found.keys() - {"a"}


def test_a_change_beside_a_deletion_is_refused_and_leaves_nothing(client, account, users, patch, before_a_write):
    def delete():
        body = {"password": PASSWORD}
        assert client.application.test_client().delete(ME, json=body, headers=account.bearer).status_code == 204

    before_a_write("users", delete)
    response = patch({"a": 1})
    assert (response.status_code, response.json["code"]) == (401, "invalid_token")
    assert users.count_documents({}) == 0


def test_an_export_has_both_objects(client, account, users, patch):
    patch({"a": 1})
    users.update_one({}, {"$set": {"app_metadata": {"plan": "gold"}}})
    profile = client.get(f"{ME}/export", headers=account.bearer).json["profile"]
    assert (profile["metadata"], profile["app_metadata"]) == ({"a": 1}, {"plan": "gold"})


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' * 90 + "1" + "}" * 90,
        "{" + ",".join(f'"{number}":null' for number in range(900)) + "}",
        "{" + ",".join(f'"{number}":{{}}' for number in range(900)) + "}",
        '{"a":[' + ",".join("[]" for _ in range(2700)) + "]}",
        '{"a":"' + "\\u0301\\u0316" * 600 + '"}',
        '{"a":[' + ",".join(["9" * 4000] * 3) + "]}",
    ],
)
def test_no_metadata_holds_the_interpreter_for_long(patch, text):
    def send():
        assert patch(text).status_code in (200, 422)

    assert seconds_held(send) < MOST_SECONDS
