"""The audit trail: a line in the log and a row in the database, of each event of `EVENTS` and no other."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from mongod import free_port
from pymongo import WriteConcern

from pixora.accounts import audit as module
from pixora.accounts.audit import COMMAND, EVENTS
from pixora.accounts.erasure import KEPT
from pixora.errors import DatabaseUnavailable
from pixora.services import services

ADA = "6924a1e0c3f1a2b4d5e6f708"
ADMIN = "6924a1e0c3f1a2b4d5e6f709"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "audit.md"


@pytest.fixture
def dropped(trail, settings):
    """The collection as a new database has it: not at all."""
    trail.drop()
    yield trail
    trail.drop()
    trail.create_indexes(module.indexes(settings.audit_days)["audit"])  # for the application that all tests share


@pytest.fixture
def away(make_app):
    """An application whose database is not there."""
    return make_app(MONGO_URI=f"mongodb://127.0.0.1:{free_port()}/pixora", DATABASE_TIMEOUT_MS=100)


def test_a_row_says_what_happened_to_whom_and_from_where(app, trail):
    request = {"headers": {"X-Request-ID": "follow-me"}, "environ_base": {"REMOTE_ADDR": "2001:db8::1"}}
    with app.test_request_context(**request):
        services.audit.record("session_ended", ADA, session_id="a" * 24)
    [row] = trail.find({}, {"_id": 0, "at": 0})
    assert row == {
        "user_id": ADA,
        "event": "session_ended",
        "network": "2001:db8::/64",
        "request_id": "follow-me",
        "details": {"session_id": "a" * 24},
    }


def test_a_line_of_the_log_says_the_same(app, trail, capture_logs):
    with app.test_request_context(headers={"X-Request-ID": "follow-me"}), capture_logs() as lines:
        services.audit.record("session_ended", ADA, by=ADMIN, session_id="a" * 24)
    [line] = lines
    assert line["message"] == "A session ended."
    assert (line["event"], line["user_id"], line["by"]) == ("session_ended", ADA, ADMIN)
    assert (line["session_id"], line["request_id"], line["network"]) == ("a" * 24, "follow-me", "unknown")


def test_a_command_has_neither_network_nor_request(app, trail):
    with app.app_context():
        services.audit.record("user_created", ADA, by=COMMAND, roles=["user"])
    [row] = trail.find()
    assert (row["network"], row["request_id"], row["by"]) == (None, None, "command")


@pytest.mark.parametrize(("event", "details"), [("log_in", {}), ("login", {"email": "ada@example.com"})])
def test_what_is_not_in_the_table_of_events_is_a_fault_of_the_program(app, trail, event, details):
    with app.app_context(), pytest.raises(ValueError, match=r"there is no event|has no detail"):
        services.audit.record(event, ADA, **details)
    assert trail.count_documents({}) == 0


def test_whoever_is_not_known_fills_a_bounded_number_of_places(app, trail, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNKNOWN_ROWS", 3)
    with app.test_request_context():
        for _ in range(30):
            services.audit.record("login_failed", None, reason="wrong_password")
    assert trail.count_documents({}) == 3


def test_many_who_take_one_place_at_once_lose_no_row_to_an_error(app, trail, monkeypatch, capture_logs):
    monkeypatch.setattr(module, "MAX_UNKNOWN_ROWS", 1)

    def record(_):
        with app.test_request_context():
            services.audit.record("login_failed", None)

    with capture_logs() as lines, ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(64)))
    assert {line["event"] for line in lines} == {"login_failed"}
    assert trail.count_documents({}) == 1


def test_rows_of_keys_are_not_in_these_places(app, trail, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNKNOWN_ROWS", 1)
    with app.app_context():
        for kid in ("first", "second"):
            services.audit.record("key_retired", None, by=COMMAND, kid=kid)
    assert [row["details"]["kid"] for row in trail.find()] == ["first", "second"]


def test_where_no_row_can_be_written_there_is_the_line_and_no_error(away, capture_logs):
    with away.test_request_context(), capture_logs() as lines:
        services.audit.record("login", ADA, session_id="a" * 24)
    assert [line["event"] for line in lines] == ["login", "database_unavailable"]


def test_a_row_that_the_database_refuses_is_told_and_no_error(app, mongo, trail, capture_logs):
    database = mongo.get_default_database()
    database.command("collMod", "audit", validator={"event": "nothing"})
    try:
        with app.test_request_context(), capture_logs() as lines:
            services.audit.record("login", ADA, session_id="a" * 24)
    finally:
        database.command("collMod", "audit", validator={})
    assert [line["event"] for line in lines] == ["login", "audit_failed"]


def test_a_row_is_acknowledged_by_a_majority(app, trail, watch_commands):
    with app.test_request_context(), watch_commands() as commands:
        services.audit.record("login", ADA, session_id="a" * 24)
    assert [(one.command_name, one.command["writeConcern"]) for one in commands] == [
        ("update", WriteConcern("majority").document)
    ]


def test_many_users_have_a_row_each_and_one_line_together(app, trail, capture_logs):
    with app.app_context(), capture_logs() as lines:
        services.audit.record_all("user_imported", [ADA, ADMIN], by=COMMAND, scheme="bcrypt")
    assert {row["user_id"] for row in trail.find({"by": "command", "details.scheme": "bcrypt"})} == {ADA, ADMIN}
    assert [(line["event"], line["users"]) for line in lines] == [("user_imported", 2)]


def test_rows_of_many_that_cannot_be_written_are_an_error(away):
    with away.app_context(), pytest.raises(DatabaseUnavailable):
        services.audit.record_all("user_imported", [ADA], by=COMMAND)


def test_the_trail_is_kept_for_as_long_as_the_setting_says(make_app, dropped):
    assert make_app(AUDIT_DAYS=30).test_client().get("/health").status_code == 200
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == 30 * 24 * 3600


@pytest.mark.parametrize("days", [1, 30, 3650])
def test_a_change_of_that_holds_from_the_next_start_on_for_all_there_is(make_app, dropped, days):
    for setting in (365, days):
        assert make_app(AUDIT_DAYS=setting).test_client().get("/health").status_code == 200
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == days * 24 * 3600


def test_workers_that_start_at_once_change_it_together(make_app, dropped):
    make_app().test_client().get("/health")
    clients = [make_app(AUDIT_DAYS=30).test_client() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda client: client.get("/health").status_code, clients)) == {200}
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == 30 * 24 * 3600


def test_workers_of_another_setting_go_on_beside_them_and_do_not_change_it_back(
    make_app, dropped, monkeypatch, capture_logs
):
    monkeypatch.setattr("pixora.database.client.INDEX_CHECK_SECONDS", 0)
    old, new = (make_app(AUDIT_DAYS=days).test_client() for days in (365, 30))
    with capture_logs() as lines:
        for client in (old, new, old, old, new):
            assert client.get("/health").status_code == 200
    assert not lines
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == 30 * 24 * 3600


def test_rows_that_were_kept_for_ever_are_kept_for_as_long_as_the_setting_says(make_app, dropped):
    dropped.create_index("at")
    assert make_app(AUDIT_DAYS=30).test_client().get("/health").status_code == 200
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == 30 * 24 * 3600


def test_no_event_has_a_detail_that_a_line_of_the_log_has_already():
    taken = {"event", "user_id", "network", "request_id", "by", "message", "level", "logger", "time", "name", "args"}
    assert not [name for name, event in EVENTS.items() if event.details & taken]


def test_every_event_is_in_the_documentation_and_no_other():
    page = PAGE.read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)] == list(EVENTS)


def test_the_documentation_says_how_many_rows_and_how_late():
    page = PAGE.read_text()
    assert f"limited to {module.MAX_UNKNOWN_ROWS:,}" in page
    assert timedelta(minutes=10) == KEPT
    assert "ten minutes later" in page
