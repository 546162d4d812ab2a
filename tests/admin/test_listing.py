"""The filters of the list of users, its cursors and totals; the events and sessions of a user."""

from datetime import UTC, datetime, timedelta

import pytest

from pixora.admin import listing
from tests.admin.test_directory import explained
from tests.conftest import make_account
from tests.factories import PASSWORD, fastapi_user
from tests.interpreter import MOST_SECONDS, seconds_held

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)


def made(number, **changes):
    """Return a user of those that are listed; their ids are in another order than their times of creation."""
    about = {"_id": f"{number * 7 % 40:024}", "email": f"u{number:02}@example.com", "created_at": START + number * DAY}
    return fastapi_user(**about | changes)


@pytest.fixture
def crowd(users, admin):
    """Forty users of every kind; the administrator who asks came a year before them."""
    users.update_one({"_id": admin.id}, {"$set": {"created_at": START - 365 * DAY, "email_verified": True}})
    people = [made(number) for number in range(40)]
    for number, one in enumerate(people):
        if number % 2:
            one["email_verified"] = number % 4 == 1
        if number % 5 == 0:
            one["disabled"] = True
        if number % 10 == 3:
            one["roles"] = ["user", "admin"]
        if number == 7:
            one["roles"] = ["admin"]
        if number == 8:
            one["roles"] = ["editor"]
    users.insert_many(people)
    return {one["_id"]: one for one in users.find()}


@pytest.fixture
def walk(ask):
    """Follow the cursors of a list; return the ids of all pages, and do something between them."""

    def walk(query, limit=3, between=lambda: None):
        seen, after = [], ""
        while after is not None:
            response = ask("GET", f"?limit={limit}&{query}" + (after and f"&after={after}"))
            assert response.status_code == 200, response.text
            page = response.json
            assert len(page["items"]) == limit or page["next"] is None
            seen += [user["id"] for user in page["items"]]
            after = page["next"]
            between()
        return seen

    return walk


def is_user(user):
    return "user" in user.get("roles", []) or "admin" not in user.get("roles", [])


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("role=admin", lambda user: "admin" in user.get("roles", [])),
        ("role=user", is_user),
        ("disabled=true", lambda user: user.get("disabled", False)),
        ("disabled=false", lambda user: not user.get("disabled", False)),
        ("email_verified=true", lambda user: user.get("email_verified", False)),
        ("email_verified=false", lambda user: not user.get("email_verified", False)),
        ("disabled=true&email_verified=false", lambda user: user.get("disabled") and not user.get("email_verified")),
        ("role=admin&disabled=false", lambda user: "admin" in user.get("roles", []) and not user.get("disabled")),
        ("email=u1", lambda user: user["email"].startswith("u1")),
        ("email=U1&disabled=true", lambda user: user["email"].startswith("u1") and user.get("disabled")),
        ("created_after=2024-01-31T00:00:00Z", lambda user: user["created_at"] >= START + 30 * DAY),
        ("created_before=2024-01-11T01:00:00%2B01:00", lambda user: user["created_at"] < START + 10 * DAY),
        (
            "created_after=2024-01-04T00:00:00Z&created_before=2024-01-06T00:00:00Z&email_verified=true",
            lambda user: user["created_at"] in (START + 3 * DAY, START + 4 * DAY) and user.get("email_verified"),
        ),
        ("email=u2&created_after=2024-01-26T00:00:00Z", lambda user: "u25" <= user["email"] < "u3"),
        ("created_after=2024-02-01T00:00:00Z&created_before=2024-01-01T00:00:00Z", lambda user: False),
    ],
)
def test_each_filter_lists_the_users_it_is_about(ask, walk, crowd, query, matches):
    expected = {user_id for user_id, user in crowd.items() if matches(user)}
    for limit in (1, 3, 100):
        seen = walk(query, limit)
        assert len(seen) == len(set(seen))
        assert set(seen) == expected
    assert ask("GET", f"?limit=1&{query}").json["total"] == len(expected)


@pytest.mark.parametrize("query", ["disabled=false", "email_verified=false", "role=user"])
def test_users_are_in_order_of_their_ids(walk, crowd, query):
    seen = walk(query)
    assert seen == sorted(seen)


def test_with_a_time_of_creation_users_are_in_that_order_and_equal_times_in_order_of_ids(walk, users, crowd):
    users.insert_many(made(50 + number, created_at=START + 35 * DAY, _id=f"{number}") for number in (3, 1, 2))
    seen = walk("created_after=2024-01-01T00:00:00Z", 2)
    assert seen == sorted(seen, key=lambda one: (users.find_one({"_id": one})["created_at"], one))
    assert len(seen) == 43


@pytest.mark.parametrize(
    "query",
    [
        *("", "role=user", "disabled=false", "email_verified=false", "email=u"),
        "created_after=2024-01-01T00:00:00Z",
    ],
)
def test_users_who_come_and_go_put_nobody_twice_and_leave_nobody_out(walk, users, crowd, query):
    stay = set(walk(query))
    numbers = iter(range(100, 10_000))

    def stir():
        new = next(numbers)
        early = made(new, _id=f"-{new}", email=f"u-{new}@example.com", created_at=START)
        late = made(new, _id=f"z{new}", email=f"v{new}@example.com", created_at=START + new * DAY)
        users.insert_one(early)
        users.delete_one({"_id": early["_id"]}) if new % 2 else None
        if new % 3 == 0 and new < 120:
            users.insert_one(late)

    seen = walk(query, 3, stir)
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


def test_a_cursor_works_after_its_user_is_deleted(ask, users, crowd):
    query = "created_after=2024-01-01T00:00:00Z"
    page = ask("GET", f"?limit=2&{query}").json
    users.delete_many({"_id": {"$in": [user["id"] for user in page["items"]]}})
    rest = ask("GET", f"?limit=100&{query}&after={page['next']}").json["items"]
    assert len(rest) == 38


QUERIES = [
    *("", "role=user", "role=admin", "disabled=true", "disabled=false", "email_verified=false"),
    *("email=u", "email=u1", "email=u&disabled=false", "created_after=2020-01-01T00:00:00Z"),
    *("created_after=2020-01-02T00:00:00Z", "created_before=2025-01-01T00:00:00Z"),
]


@pytest.mark.parametrize("query", QUERIES)
def test_the_cursor_of_other_filters_is_refused(ask, crowd, query):
    cursor = ask("GET", f"?limit=1&{query}").json["next"]
    assert cursor
    for other in QUERIES:
        response = ask("GET", f"?limit=2&{other}&after={cursor}")
        if other == query:
            assert response.status_code == 200
        else:
            assert (response.status_code, set(response.json["errors"])) == (422, {"after"}), other


def test_the_limit_and_the_wish_for_a_total_may_change_from_page_to_page(ask, crowd):
    cursor = ask("GET", "?limit=1&disabled=false&total=true").json["next"]
    assert ask("GET", f"?limit=5&disabled=false&after={cursor}").status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("role", value) for value in ("", "root", "ADMIN", "user,admin", ".*", "%24ne", "%7B%22%24ne%22%3A1%7D")),
        *(("disabled", value) for value in ("", "1", "yes", "True", "null", "true%00")),
        *(("email_verified", value) for value in ("", "0", "FALSE")),
        *(("total", value) for value in ("", "1", "False")),
        *(("created_after", value) for value in ("", "2024", "2024-01-01", "2024-01-01T00:00:00", "now", "1704067200")),
        *(("created_before", value) for value in ("2024-13-01T00:00:00Z", "0001-01-01T00:00:00%2B14:00", "9" * 3000)),
        *(("created_before", value) for value in ("9999-12-31T23:59:59-14:00", "2024-01-01T00:00:00+01:00")),
    ],
)
def test_a_malformed_filter_is_refused(ask, name, value):
    response = ask("GET", f"?{name}={value}")
    assert (response.status_code, set(response.json["errors"])) == (422, {name})


@pytest.mark.parametrize("name", ["disabled[]", "disabled[$ne]", "roles", "sort", "created", "$where"])
def test_an_unknown_filter_is_refused(ask, name):
    response = ask("GET", f"?{name}=true")
    assert (response.status_code, response.json["errors"]) == (422, {name: ["Is not a parameter of this route."]})


def test_a_total_of_many_is_counted_where_it_is_asked_for(ask, crowd, monkeypatch):
    monkeypatch.setattr(listing, "COUNTED", 10)
    assert ask("GET", "?limit=1&disabled=true").json["total"] == 8
    assert ask("GET", "?limit=1&disabled=false").json["total"] is None
    assert ask("GET", "?limit=1&disabled=false&total=true").json["total"] == 33
    assert ask("GET", "?limit=1&role=user&total=true").json["total"] == 40
    assert ask("GET", "?limit=1&email_verified=false&total=true").json["total"] == 30
    assert ask("GET", "?limit=1&email_verified=false&disabled=false&total=true").json["total"] == 24
    assert ask("GET", "?limit=1&total=false").json["total"] == 41  # of all users it is known
    assert ask("GET", "?limit=100&disabled=false").json["total"] == 33  # a page has them all


@pytest.mark.parametrize(
    "query",
    [
        *("disabled=true", "disabled=false", "email_verified=true", "email_verified=false", "role=user", "role=admin"),
        *("created_after=2024-06-01T00:00:00Z", "created_before=2024-06-01T00:00:00Z"),
        "created_after=2024-06-01T00:00:00Z&created_before=2026-07-01T00:00:00Z",
    ],
)
@pytest.mark.parametrize("rare", [True, False])
def test_a_page_is_read_by_an_index_without_excess(ask, users, mongo, watch_commands, query, rare):
    people = [made(0, _id=f"{number:024}", email=f"{number}@example.com") for number in range(2000)]
    for number, one in enumerate(people):
        one["created_at"] = START + number * DAY
        if (number % 400 == 7) == rare:
            one |= {"disabled": True, "email_verified": True}
        if number % 400 == 9:
            one["roles"] = ["user", "admin"]
    users.insert_many(people)
    after = ""
    for _ in range(3):
        with watch_commands() as commands:
            page = ask("GET", f"?limit=4&{query}{after}").json
        [command] = [one for one in commands if one.command.get("limit") == 5]
        keys, documents, stages = explained(command, mongo)
        assert "COLLSCAN" not in stages
        assert documents <= 20
        assert keys <= 25
        assert "SORT" not in stages
        if page["next"] is None:
            break
        after = f"&after={page['next']}"


@pytest.mark.parametrize(
    "query",
    [
        *("email_verified=true", "email_verified=false", "created_after=2024-06-01T00:00:00Z"),
        *("created_before=2026-01-01T00:00:00Z", "created_before=2026-01-01T00:00:00Z&email_verified=false"),
    ],
)
def test_disabled_users_are_filtered_further_without_reading_others(ask, users, mongo, watch_commands, query):
    users.insert_many(
        made(0, _id=f"{number:024}", email=f"{number}@example.com", created_at=START + number * DAY)
        | {"email_verified": number % 3 == 0}
        | ({"disabled": True} if number % 10 == 0 else {})
        for number in range(2000)
    )
    with watch_commands() as commands:
        assert ask("GET", f"?limit=4&disabled=true&{query}").json["total"] > 4
    [page, count] = [one for one in commands if one.command.get("limit") == 5 or one.command_name == "aggregate"]
    keys, documents, stages = explained(page, mongo)
    assert (documents <= 30, "SORT" in stages) == (True, False)
    keys, documents, _ = explained(count, mongo)
    assert (documents, keys <= 201) == (0, True)


def test_the_events_of_a_user_name_the_administrator(ask, admin, account, client, trail):
    client.post("/api/auth/login", data={"username": account.email, "password": "wrong"})
    ask("POST", f"/{account.id}/disable")
    items = ask("GET", f"/{account.id}/events").json["items"]
    assert [item["event"] for item in items] == ["user_disabled", "login_failed"]
    assert [item["by"] for item in items] == [admin.id, None]
    assert items[0]["network"] == "127.0.0.1"
    assert items[0]["request_id"]
    page = ask("GET", f"/{account.id}/events?limit=1").json
    rest = ask("GET", f"/{account.id}/events?limit=1&after={page['next']}").json
    assert page["items"] + rest["items"] == items
    assert rest["next"] is None


@pytest.mark.parametrize("query", ["limit=0", "after=x", "after=aTY5MjRhMWUwYzNmMWEyYjRkNWU2ZjcwOA"])
def test_a_malformed_page_of_events_is_refused(ask, account, query):
    response = ask("GET", f"/{account.id}/events?{query}")
    assert (response.status_code, set(response.json["errors"])) == (422, {query.partition("=")[0]})


def test_the_sessions_of_a_user_are_listed_without_secrets(ask, client, move_clock):
    account = make_account(client, email="x@example.com")
    move_clock(days=13)
    client.post("/api/auth/login", data={"username": account.email, "password": PASSWORD})
    admin = client.post("/api/auth/login", data={"username": "admin@example.com", "password": PASSWORD}).json
    bearer = {"Authorization": f"Bearer {admin['access_token']}"}
    path = f"/api/admin/users/{account.id}/sessions"
    first, second = client.get(path, headers=bearer).json
    assert set(first) == {"id", "user_agent", "created_at", "last_used_at", "expires_at", "auth_time", "acr", "amr"}
    assert first["last_used_at"] > second["last_used_at"]
    move_clock(days=2)
    admin = client.post("/api/auth/login", data={"username": "admin@example.com", "password": PASSWORD}).json
    bearer = {"Authorization": f"Bearer {admin['access_token']}"}
    assert client.get(path, headers=bearer).json == [first]


def test_a_user_of_the_fastapi_service_has_no_sessions_and_no_events(ask, users):
    users.insert_one(fastapi_user(_id="a" * 24))
    assert ask("GET", f"/{'a' * 24}/sessions").json == []
    assert ask("GET", f"/{'a' * 24}/events").json == {"items": [], "next": None}


@pytest.mark.parametrize(
    "metadata",
    [{"a": [[[0]]] * 680}, {"a": [{"b": {"c": {}}}] * 250}, {"a": [0] * 2000}, {"a": "x" * 4000}],
    ids=["arrays", "objects", "numbers", "text"],
)
def test_users_with_much_metadata_come_in_shorter_pages(ask, users, crowd, metadata):
    """Each of these objects takes 4 KiB in a request."""
    heavy = {"metadata": metadata, "app_metadata": metadata}
    users.update_many({"_id": {"$in": list(crowd)}}, {"$set": heavy})
    users.insert_many([made(number, _id=f"{number:024}", **heavy) for number in range(40, 120)])
    seen, after = [], ""
    while after is not None:
        query = "?limit=100" + (after and f"&after={after}")
        page = ask("GET", query).json
        assert 0 < len(page["items"]) < 100
        assert page["total"] == 121
        assert seconds_held(lambda query=query: ask("GET", query)) < MOST_SECONDS
        seen += [user["id"] for user in page["items"]]
        after = page["next"]
    assert seen == sorted(one["_id"] for one in users.find())


def test_a_profile_that_is_larger_than_a_page_has_one_of_its_own(ask, users, crowd):
    users.update_one({"_id": min(crowd)}, {"$set": {"metadata": "x" * 300_000}})
    first = ask("GET", "?limit=100").json
    assert [user["id"] for user in first["items"]] == [min(crowd)]
    second = ask("GET", f"?limit=100&after={first['next']}").json
    assert (len(second["items"]), second["next"]) == (40, None)
