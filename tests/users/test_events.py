import base64
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pixora.accounts.audit import COMMAND
from pixora.services import services
from pixora.users import events
from tests.factories import PASSWORD, log_in

PATH = "/api/users/me/events"
EXPORT = "/api/users/me/export"
ADMIN = "6924a1e0c3f1a2b4d5e6f709"


@pytest.fixture
def list_events(client, account):
    def list_events(**query):
        return client.get(PATH, query_string=query, headers=account.bearer)

    return list_events


@pytest.fixture
def history(trail, account):
    """A hundred events of Ada's, some of them in the same millisecond; the newest first."""
    now = datetime.now(UTC).replace(microsecond=0)
    rows = [
        {
            "_id": ObjectId(),
            "user_id": account.id,
            "event": "login_failed",
            "at": now - timedelta(milliseconds=number // 3),
            "network": f"192.0.2.{number}",
            "request_id": None,
            "details": {},
        }
        for number in range(100)
    ]
    trail.delete_many({})
    trail.insert_many(rows)
    return [row["network"] for row in sorted(rows, key=lambda row: (row["at"], row["_id"]), reverse=True)]


def networks(page):
    return [item["network"] for item in page["items"]]


def test_a_user_sees_what_has_happened_the_newest_first(client, account, list_events):
    log_in(client, account.email, "wrong")
    page = list_events().json
    assert [item["event"] for item in page["items"]] == ["login_failed", "login", "signup"]
    assert page["next"] is None


def test_an_event_says_when_from_where_and_what_it_is_about(client, account, list_events):
    [session] = client.get("/api/users/me/sessions", headers=account.bearer).json
    login = list_events().json["items"][0]
    assert login.pop("at").endswith("Z")
    assert len(login.pop("request_id")) == 32
    assert login == {
        "event": "login",
        "network": "127.0.0.1",
        "by": None,
        "details": {"session_id": session["id"]},
    }


@pytest.mark.parametrize(("by", "told"), [(ADMIN, "admin"), (COMMAND, "operator"), ("erased-1", "admin")])
def test_an_event_by_an_administrator_does_not_say_who(app, account, list_events, by, told):
    with app.test_request_context(environ_base={"REMOTE_ADDR": "198.51.100.9"}, headers={"X-Request-ID": "grace"}):
        services.audit.record("sessions_ended", account.id, by=by)
    response = list_events()
    event = response.json["items"][0]
    assert (event["by"], event["network"], event["request_id"]) == (told, None, None)
    assert not any(text in response.text for text in ("198.51.100", "grace", ADMIN))


def test_nobody_sees_the_events_of_others(client, account, other_account, trail):
    page = client.get(PATH, headers=other_account.bearer).json
    ids = {item["details"]["session_id"] for item in page["items"] if item["event"] == "login"}
    assert ids == {row["details"]["session_id"] for row in trail.find({"user_id": other_account.id, "event": "login"})}


@pytest.mark.parametrize("limit", [1, 7, 20, 100])
def test_the_pages_together_are_the_whole(history, list_events, limit):
    seen, cursor = [], {}
    while cursor is not None:
        page = list_events(limit=limit, **cursor).json
        assert 1 <= len(page["items"]) <= limit
        seen += networks(page)
        cursor = {"after": page["next"]} if page["next"] else None
    assert seen == history


def test_a_page_has_twenty_by_default(history, list_events):
    assert networks(list_events().json) == history[:20]


def test_what_happens_meanwhile_does_not_shift_the_pages(app, account, history, list_events, trail):
    first = list_events(limit=10).json
    with app.test_request_context():
        services.audit.record("login_failed", account.id)
    trail.delete_one({"network": first["items"][-1]["network"]})
    assert networks(list_events(limit=10, after=first["next"]).json) == history[10:20]


@pytest.mark.parametrize(
    "after",
    ["", "x", "dA", "%00", "�", "🦄" * 100, "'; --", "a" * 3000]
    + [
        base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        for text in (f"i{ADMIN}", "t", f"t-{ADMIN}", f"t{10**14}-{ADMIN}", f"t1-{ADMIN}x", f"t1-{ADMIN.upper()}")
    ],
)
def test_an_invalid_cursor_is_refused(account, list_events, after):
    response = list_events(after=after)
    assert (response.status_code, set(response.json["errors"])) == (422, {"after"})


def test_the_cursor_of_one_user_gives_another_nothing(client, account, other_account, history, list_events):
    cursor = list_events(limit=1).json["next"]
    page = client.get(PATH, query_string={"after": cursor}, headers=other_account.bearer).json
    assert not set(networks(page)) & set(history)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.0", "1_0", " 5", "+5", "٥", "", "1e1"])
def test_a_limit_is_a_number_from_1_to_100(account, list_events, limit):
    response = list_events(limit=limit)
    assert (response.status_code, set(response.json["errors"])) == (422, {"limit"})


def test_listing_takes_two_reads_by_an_index(mongo, history, account, list_events, watch_commands):
    after = list_events(limit=10).json["next"]
    with watch_commands() as commands:
        list_events(limit=10, after=after)
    assert [one.command_name for one in commands] == ["find", "find"]
    query = {name: commands[1].command[name] for name in ("find", "filter", "sort", "limit")}
    plan = mongo.get_default_database().command("explain", query, verbosity="executionStats")["executionStats"]
    assert plan["nReturned"] == 11
    assert plan["totalDocsExamined"] <= 15  # those of the same millisecond as the last one are looked at again
    assert "SORT" not in str(plan["executionStages"])


def test_an_export_has_the_last_events_and_leads_to_the_others(client, account, history, list_events, monkeypatch):
    monkeypatch.setattr(events, "EXPORTED", 30)
    exported = client.get(EXPORT, headers=account.bearer).json["events"]
    assert networks(exported) == history[:30]
    assert networks(list_events(after=exported["next"], limit=100).json) == history[30:]


def test_the_export_says_how_many_it_has(session_app):
    schemas = session_app.test_client().get("/openapi.json").json["components"]["schemas"]
    assert f"The last {events.EXPORTED};" in str(schemas["Export"]["properties"]["events"])


def test_an_ended_session_sees_no_events(client, account, list_events):
    client.post("/api/auth/logout", headers=account.bearer)
    assert list_events().status_code == 401


def test_the_events_stay_readable_after_the_password_has_changed(client, account, list_events):
    body = {"current_password": PASSWORD, "new_password": "analytical-engine-no-1"}
    client.post("/api/users/me/password", json=body, headers=account.bearer)
    assert list_events().json["items"][0]["event"] == "password_changed"
