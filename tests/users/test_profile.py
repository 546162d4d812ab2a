"""Changing a profile, and the ETag that tells one state of it from another."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pixora import clock
from pixora.accounts.users import UserStore
from pixora.users import representation
from pixora.users.schemas import ProfileSchema
from pixora.web.etags import etag
from tests.auth.conftest import NEW_PASSWORD
from tests.factories import HASH_2B, fastapi_user, log_in

ME = "/api/users/me"
CHANGES = {"first_name": "Augusta", "last_name": "King", "contact": "+442079460959", "birthday": "1991-01-31"}


@pytest.fixture
def get(client, account):
    return lambda **headers: client.get(ME, headers=account.bearer | named(headers))


@pytest.fixture
def patch(client, account):
    return lambda body, **headers: client.patch(ME, json=body, headers=account.bearer | named(headers))


def named(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize("field", list(CHANGES))
def test_each_field_can_be_changed_alone(get, patch, field):
    before = get().json
    response = patch({field: CHANGES[field]})
    assert response.status_code == 200
    assert response.json == before | {field: CHANGES[field], "updated_at": response.json["updated_at"]}
    assert response.json["updated_at"] > before["updated_at"]
    assert get().json == response.json


def test_all_fields_can_be_changed_together(patch):
    assert patch(CHANGES).json.items() >= CHANGES.items()


def test_changed_fields_are_normalised_as_at_signup(patch):
    response = patch({"first_name": "  Augusta ", "contact": "+44 20 7946 0959"})
    assert (response.json["first_name"], response.json["contact"]) == ("Augusta", "+442079460959")


@pytest.mark.parametrize("name", ["$password", "$$ROOT", "$first_name", "a.b", "{$ne: 1}"])
def test_a_name_that_mongodb_could_misread_is_taken_as_it_is(patch, users, name):
    assert patch({"first_name": name}).json["first_name"] == name
    assert users.find_one()["first_name"] == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "new@example.com"),
        ("email", "ada@example.com"),
        ("roles", ["admin"]),
        ("password", NEW_PASSWORD),
        ("password", HASH_2B),
        ("_id", "0" * 24),
        ("id", "0" * 24),
        ("sessions", []),
        ("tokens", {}),
        ("letters", []),
        ("email_verified", True),
        ("created_at", "2020-01-01T00:00:00.000Z"),
        ("updated_at", "2020-01-01T00:00:00.000Z"),
        ("$set", {"roles": ["admin"]}),
        ("roles.0", "admin"),
    ],
)
def test_a_field_that_users_may_not_change_is_refused(patch, users, field, value):
    before = users.find_one()
    for body in ({field: value}, CHANGES | {field: value}):
        response = patch(body)
        assert response.status_code == 422
        assert response.json["errors"] == {field: ["Unknown field."]}
    assert users.find_one() == before


@pytest.mark.parametrize("field", list(CHANGES))
@pytest.mark.parametrize("value", [None, 1, True, [], {}, {"$ne": None}, "", "\0"], ids=repr)
def test_a_field_that_is_not_acceptable_is_refused_and_nothing_changes(patch, users, field, value):
    before = users.find_one()
    response = patch(CHANGES | {field: value})
    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]
    assert users.find_one() == before


@pytest.mark.parametrize("body", [{}, [], "x", [CHANGES]])
def test_a_body_that_changes_nothing_is_refused(patch, users, body):
    before = users.find_one()
    response = patch(body)
    assert response.status_code == 422
    assert list(response.json["errors"]) == ["body"]
    assert users.find_one() == before


def test_a_user_of_the_fastapi_service_changes_one_field_and_the_others_stay(client, users):
    user = fastapi_user()
    users.insert_one(user)
    login = log_in(client, user["email"]).json
    bearer = {"Authorization": f"Bearer {login['access_token']}"}
    tag = client.get(ME, headers=bearer).headers["ETag"]
    response = client.patch(ME, json={"last_name": "Murray"}, headers=bearer | {"If-Match": tag})
    assert response.status_code == 200
    stored = users.find_one({}, {"sessions": 0})
    assert stored == user | {"last_name": "Murray", "updated_at": stored["updated_at"]}


def test_a_profile_has_a_strong_etag_which_is_the_same_by_either_address(client, account, get):
    tag = get().headers["ETag"]
    assert tag.startswith('"')
    assert client.get(f"/api/users/{account.id}", headers=account.bearer).headers["ETag"] == tag


def test_the_etag_of_a_change_is_that_of_the_next_reading(get, patch):
    before = get().headers["ETag"]
    changed = patch(CHANGES).headers["ETag"]
    assert changed == get().headers["ETag"] != before


@pytest.mark.parametrize("path", ["me", "id"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
def test_a_client_with_the_current_profile_gets_304(client, account, get, path, form):
    tag = get().headers["ETag"]
    url = ME if path == "me" else f"/api/users/{account.id}"
    response = client.get(url, headers=account.bearer | {"If-None-Match": form.format(tag)})
    assert response.status_code == 304
    assert response.data == b""
    assert response.headers["ETag"] == tag
    assert response.headers["Cache-Control"] == "no-store"
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("given", ['"x"', '"x", W/"y"', "", "x", '"'])
def test_a_client_with_another_state_gets_the_profile(get, given):
    response = get(If_None_Match=given)
    assert response.status_code == 200
    assert response.json["first_name"] == "Ada"


def test_the_other_profile_of_a_tag_that_matches_is_still_forbidden(client, account, other_account):
    response = client.get(f"/api/users/{other_account.id}", headers=account.bearer | {"If-None-Match": "*"})
    assert response.status_code == 403


@pytest.mark.parametrize("form", ["{}", '"x", {}', '{}, W/"x"', "*"])
def test_a_change_is_made_if_the_profile_is_as_it_was_read(get, patch, form):
    response = patch(CHANGES, If_Match=form.format(get().headers["ETag"]))
    assert response.status_code == 200
    assert response.json["first_name"] == "Augusta"


@pytest.mark.parametrize("form", ['"x"', "W/{}", '"x", "y"', "", "x", "W/*"])
def test_a_change_is_refused_if_no_tag_matches(get, patch, users, form):
    tag, before = get().headers["ETag"], users.find_one()
    response = patch(CHANGES, If_Match=form.format(tag))
    assert response.status_code == 412
    assert response.json["code"] == "precondition_failed"
    assert users.find_one() == before


def test_a_change_of_what_was_changed_meanwhile_is_refused(get, patch):
    tag = get().headers["ETag"]
    assert patch({"first_name": "Augusta"}, If_Match=tag).status_code == 200
    assert patch({"first_name": "Byron"}, If_Match=tag).status_code == 412
    assert get().json["first_name"] == "Augusta"


def test_of_many_conditional_changes_at_once_one_is_made(app, account, get):
    tag = get().headers["ETag"]

    def change(number):
        headers = account.bearer | {"If-Match": tag}
        return app.test_client().patch(ME, json={"first_name": f"Ada {number}"}, headers=headers).status_code

    with ThreadPoolExecutor(20) as pool:
        assert sorted(pool.map(change, range(20))) == [200] + [412] * 19


def test_changes_within_a_millisecond_have_tags_of_their_own(patch, monkeypatch):
    now = clock.utcnow()
    monkeypatch.setattr(clock, "utcnow", lambda: now)
    tags = [patch({"first_name": f"Ada {number}"}).headers["ETag"] for number in range(5)]
    assert len(set(tags)) == 5


def test_whatever_the_profile_shows_is_in_the_tag(users, account):
    user = users.find_one()
    tags = {etag(user | change) for change in ({}, {"email_verified": True}, {"roles": ["user", "admin"]})}
    assert len(tags) == 3


def test_a_change_takes_two_operations(patch, watch_commands):
    with watch_commands() as commands:
        patch(CHANGES)
    assert [command.command_name for command in commands] == ["find", "findAndModify"]


def test_a_change_of_a_deleted_user_is_refused_like_its_token(app, account, users, monkeypatch):
    change = UserStore.update_profile

    def change_late(self, *args, **kwargs):
        users.delete_many({})
        return change(self, *args, **kwargs)

    monkeypatch.setattr(UserStore, "update_profile", change_late)
    response = app.test_client().patch(ME, json=CHANGES, headers=account.bearer)
    assert (response.status_code, response.json["code"]) == (401, "invalid_token")


NEWER = {
    "email_verified": True,
    "roles": ["user", "admin"],
    "updated_at": clock.utcnow(),
    "sessions": [{"id": "0" * 24}],
}


@pytest.mark.parametrize("newer", [{}, NEWER, {"contact": None, "birthday": None}, {"email": "γιώργος@example.com"}])
@pytest.mark.parametrize("missing", [[], ["first_name", "last_name", "contact", "birthday"]])
def test_a_profile_is_what_its_schema_describes(newer, missing):
    user = fastapi_user(**newer)
    for name in missing:
        user.pop(name)
    assert list(representation.document(user).items()) == list(ProfileSchema().dump(user).items())
