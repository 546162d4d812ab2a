"""Listing, searching and reading users."""

import base64
import re

import pytest

from tests.factories import HASH_2B, fastapi_user

SECRETS = {"password", "sessions", "tokens", "letters", "salt", "hash"}
FIELDS = {
    *("id", "first_name", "last_name", "email", "contact", "birthday", "created_at", "updated_at"),
    *("email_verified", "roles", "disabled"),
}


@pytest.fixture
def walk(ask):
    """Follow the cursors from the first page to the last; return the e-mail addresses of each page."""

    def walk(query, between=lambda: None):
        pages, after = [], ""
        while True:
            response = ask("GET", f"?{query}{after}")
            assert response.status_code == 200, response.text
            pages.append([user["email"] for user in response.json["items"]])
            if response.json["next"] is None:
                return pages
            after = f"&after={response.json['next']}"
            between()

    return walk


@pytest.fixture
def crowd(users, admin):
    """Add ten users with unusual ids; return all ids in order."""
    ids = ["0", "a/b", "ffffffffffffffffffffffff", "FFFF", "é", "日本", "x" * 300, "$where", "a b", "{}"]
    users.insert_many(fastapi_user(_id=one, email=f"{number}@example.com") for number, one in enumerate(ids))
    return sorted([*ids, admin.id], key=str.encode)


def explained(command, mongo):
    """Explain a find or aggregate: the numbers of examined keys and documents, and the stages."""
    names = "find", "filter", "sort", "limit", "projection", "aggregate", "pipeline", "cursor"
    asked = {name: command.command[name] for name in names if name in command.command}
    plan = mongo.get_default_database().command("explain", asked, verbosity="executionStats")
    stats = plan["executionStats"] if "executionStats" in plan else plan["stages"][0]["$cursor"]["executionStats"]
    return stats["totalKeysExamined"], stats["totalDocsExamined"], set(re.findall(r"'stage': '(\w+)'", str(stats)))


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 11, 12, 100])
def test_every_user_is_on_one_page_in_order_of_ids(ask, users, crowd, limit):
    seen, after = [], ""
    while after is not None:
        page = ask("GET", f"?limit={limit}" + (after and f"&after={after}")).json
        assert 1 <= len(page["items"]) <= limit
        seen += [user["id"] for user in page["items"]]
        after = page["next"]
    assert seen == crowd


def test_a_page_has_twenty_users_by_default(ask, users):
    users.insert_many(fastapi_user(email=f"{number}@example.com") for number in range(25))
    page = ask("GET").json
    assert len(page["items"]) == 20
    assert set(page) == {"items", "next", "total"}
    assert len(ask("GET", f"?after={page['next']}").json["items"]) == 6


def test_a_cursor_works_after_its_user_is_deleted(ask, users, crowd):
    page = ask("GET", "?limit=3").json
    users.delete_many({"_id": {"$in": crowd[:4]}, "roles": {"$ne": "admin"}})
    rest = ask("GET", f"?limit=100&after={page['next']}").json["items"]
    assert [user["id"] for user in rest] == crowd[4:]


def test_created_and_deleted_users_do_not_shift_the_pages(walk, users, crowd):
    stay = {user["email"] for user in users.find()}
    number = iter(range(100))

    def stir():
        users.insert_one(fastapi_user(_id=f"-{next(number)}", email=f"new-{next(number)}@example.com"))

    seen = [email for page in walk("limit=2", stir) for email in page]
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "!", "aQ==", "aQ=", "a", "aQ%20", "aR", "aQ%0A", "aTA=", "-_-_", "null", "%00"),
        base64.urlsafe_b64encode(b"i\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"x0").decode().rstrip("="),
        base64.urlsafe_b64encode(b"eada@example.com").decode().rstrip("="),  # of a search
        "A" * 3000,
    ],
)
def test_a_malformed_cursor_is_refused(ask, cursor):
    response = ask("GET", f"?after={cursor}")
    assert response.status_code == 422
    assert set(response.json["errors"]) == {"after"}


def test_the_cursor_of_a_list_is_refused_in_a_search(ask, crowd):
    cursor = ask("GET", "?limit=1").json["next"]
    response = ask("GET", f"?email=a&after={cursor}")
    assert (response.status_code, set(response.json["errors"])) == (422, {"after"})


@pytest.mark.parametrize("limit", ["0", "101", "-1", "+5", "1.0", "1e1", "", "x", "1_0", " 5", "٥", "9" * 50])
def test_a_malformed_limit_is_refused(ask, limit):
    response = ask("GET", f"?limit={limit.replace('+', '%2B')}")
    assert response.status_code == 422
    assert set(response.json["errors"]) == {"limit"}


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ada", ["ada.lovelace@example.com", "ada@example.com"]),
        ("ADA.", ["ada.lovelace@example.com"]),
        ("Ada.Lovelace@Example.COM", ["ada.lovelace@example.com"]),
        ("Grace.H", ["Grace.Hopper@example.com"]),  # as the FastAPI service has stored it
        ("Z", ["Zoe@example.com", "zoe.two@example.com"]),
        ("zoe", ["zoe.two@example.com"]),
        ("jose\u0301", ["josé@example.com"]),  # decomposed
        ("JOSÉ@", ["josé@example.com"]),
        ("x@XN--BCHER-KVA.example.com", ["x@bücher.example.com"]),
        (" ada@example.com ", ["ada@example.com"]),
        ("STRASSE", ["strasse@example.com"]),
        ("straße", ["strasse@example.com"]),
        ("da@", []),
        ("ada@example.com.", []),
        (".*", []),
        ("^ada", []),
        ("a.a", []),
        ("[a]da", []),
        ("\\Qada", []),
        ("$ne", []),
        ("%", []),
        ("ada\U0010ffff", []),
    ],
)
def test_users_are_found_by_the_beginning_of_their_email(walk, users, typed, found):
    addresses = [
        *("ada@example.com", "ada.lovelace@example.com", "Grace.Hopper@example.com", "zoe.two@example.com"),
        *("Zoe@example.com", "josé@example.com", "x@bücher.example.com", "bob@example.com"),
        "strasse@example.com",
    ]
    users.insert_many(fastapi_user(email=email) for email in addresses)
    for limit in (1, 2, 50):
        pages = walk(f"limit={limit}&email={typed.replace('%', '%25').replace('+', '%2B')}")
        assert [email for page in pages for email in page] == found
        assert all(len(page) == limit for page in pages[:-1])


def test_the_cursor_of_a_search_works_after_its_user_is_deleted(ask, users):
    users.insert_many(fastapi_user(email=f"u{number}@example.com") for number in range(6))
    page = ask("GET", "?limit=2&email=u").json
    users.delete_many({"email": {"$in": ["u1@example.com", "u2@example.com"]}})
    rest = ask("GET", f"?email=U&after={page['next']}").json["items"]
    assert [user["email"] for user in rest] == [f"u{number}@example.com" for number in (3, 4, 5)]


@pytest.mark.parametrize("typed", ["", "%20", "a%00", "a" * 255])
def test_a_malformed_search_is_refused(ask, typed):
    response = ask("GET", f"?email={typed}")
    assert response.status_code == 422
    assert set(response.json["errors"]) == {"email"}


@pytest.mark.parametrize("typed", ["u", "U", "Mixed", "u0042@example.com", "", "é"])
def test_every_page_is_read_by_an_index_without_excess(ask, users, mongo, watch_commands, typed):
    users.insert_many(fastapi_user(email=f"u{number:04}@example.com") for number in range(2000))
    users.insert_many(fastapi_user(email=f"Mixed{number:04}@example.com") for number in range(500))
    after = ""
    for _ in range(3):
        with watch_commands() as commands:
            page = ask("GET", f"?limit=10{typed and f'&email={typed}'}{after}").json
        [command] = [one for one in commands if "limit" in one.command and one.command["limit"] == 11]
        keys, documents, stages = explained(command, mongo)
        assert keys <= 11 + 4  # a step more for each range, and one to see that it ends
        assert documents <= 11
        assert "IXSCAN" in stages
        assert not stages & {"COLLSCAN", "SORT"}
        if page["next"] is None:
            break
        after = f"&after={page['next']}"


def test_a_page_takes_one_operation_after_authentication_and_another_to_count_more(ask, users, watch_commands):
    ask("GET")
    with watch_commands() as commands:
        ask("GET")
    assert [command.command_name for command in commands] == ["find", "find"]
    users.insert_many(fastapi_user(email=f"u{number}@example.com") for number in range(3))
    with watch_commands() as commands:
        ask("GET", "?limit=1")
        ask("GET", "?limit=1&disabled=false")
    assert [command.command_name for command in commands] == ["find", "find", "count", "find", "find", "aggregate"]


def test_an_administrator_sees_the_profile_without_secrets(ask, client, account, users):
    client.post("/api/auth/password-reset", json={"email": account.email})
    for user in (ask("GET", f"/{account.id}").json, ask("GET", f"?email={account.email}").json["items"][0]):
        assert set(user) == FIELDS
        assert not set(user) & SECRETS
        profile = client.get("/api/users/me", headers=account.bearer).json
        assert user == profile | {"disabled": False}
    stored = users.find_one({"_id": account.id})["password"]
    assert stored not in ask("GET").text + ask("GET", f"/{account.id}").text


def test_a_user_of_the_fastapi_service_is_listed(ask, users):
    user = fastapi_user()
    users.insert_one(user)
    seen = ask("GET", f"/{user['_id']}").json
    assert seen["contact"] == user["contact"]
    assert (seen["roles"], seen["disabled"], seen["email_verified"]) == (["user"], False, False)
    assert HASH_2B not in str(seen)


def test_a_disabled_user_is_marked(ask, account):
    ask("POST", f"/{account.id}/disable")
    assert ask("GET", f"/{account.id}").json["disabled"] is True
    assert ask("GET", f"?email={account.email}").json["items"][0]["disabled"] is True


@pytest.mark.parametrize("user_id", ["0" * 24, "x", "%00", "%7B%22%24ne%22%3A1%7D", "x" * 2000])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", ""), ("POST", "/disable"), ("POST", "/enable"), ("DELETE", "/sessions"), ("PUT", "/roles")),
        *(("GET", "/events"), ("GET", "/sessions")),
    ],
)
def test_an_unknown_user_is_not_found(ask, users, method, path, user_id):
    before = users.find_one()
    response = ask(method, f"/{user_id}{path}", json={"roles": ["user"]} if method == "PUT" else None)
    assert (response.status_code, response.json["code"]) == (404, "user_not_found")
    assert users.find_one() == before
