"""The audit trail: a log line and a row in the database for each event of `EVENTS`."""

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
    """The dropped collection, as in a new database."""
    trail.drop()
    yield trail
    trail.drop()
    trail.create_indexes(module.indexes(settings.audit_days)["audit"])  # for the application that all tests share


@pytest.fixture
def away(make_app):
    """An application whose database is unreachable."""
    return make_app(MONGO_URI=f"mongodb://127.0.0.1:{free_port()}/pixora", DATABASE_TIMEOUT_MS=100)


def test_a_row_has_event_user_time_and_network(app, trail):
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


def test_a_log_line_has_the_same_fields(app, trail, capture_logs):
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
def test_unknown_events_and_details_are_rejected(app, trail, event, details):
    with app.app_context(), pytest.raises(ValueError, match=r"there is no event|has no detail"):
        services.audit.record(event, ADA, **details)
    assert trail.count_documents({}) == 0


def test_events_of_unknown_users_take_a_bounded_number_of_rows(app, trail, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNKNOWN_ROWS", 3)
    with app.test_request_context():
        for _ in range(30):
            services.audit.record("login_failed", None, reason="wrong_password")
    assert trail.count_documents({}) == 3


def test_parallel_events_of_unknown_users_cause_no_error(app, trail, monkeypatch, capture_logs):
    monkeypatch.setattr(module, "MAX_UNKNOWN_ROWS", 1)

    def record(_):
        with app.test_request_context():
            services.audit.record("login_failed", None)

    with capture_logs() as lines, ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(64)))
    assert {line["event"] for line in lines} == {"login_failed"}
    assert trail.count_documents({}) == 1


def test_rows_of_keys_are_not_overwritten(app, trail, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNKNOWN_ROWS", 1)
    with app.app_context():
        for kid in ("first", "second"):
            services.audit.record("key_retired", None, by=COMMAND, kid=kid)
    assert [row["details"]["kid"] for row in trail.find()] == ["first", "second"]


def test_without_a_database_the_log_line_is_written_and_no_error_raised(away, capture_logs):
    with away.test_request_context(), capture_logs() as lines:
        services.audit.record("login", ADA, session_id="a" * 24)
    assert [line["event"] for line in lines] == ["login", "database_unavailable"]


def test_a_row_that_the_database_rejects_is_logged_and_no_error_raised(app, mongo, trail, capture_logs):
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


def test_record_all_writes_a_row_for_each_user_and_one_log_line(app, trail, capture_logs):
    with app.app_context(), capture_logs() as lines:
        services.audit.record_all("user_imported", [ADA, ADMIN], by=COMMAND, scheme="bcrypt")
    assert {row["user_id"] for row in trail.find({"by": "command", "details.scheme": "bcrypt"})} == {ADA, ADMIN}
    assert [(line["event"], line["users"]) for line in lines] == [("user_imported", 2)]


def test_record_all_without_a_database_raises_an_error(away):
    with away.app_context(), pytest.raises(DatabaseUnavailable):
        services.audit.record_all("user_imported", [ADA], by=COMMAND)


def test_the_trail_is_kept_for_the_days_of_the_setting(make_app, dropped):
    assert make_app(AUDIT_DAYS=30).test_client().get("/health").status_code == 200
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == 30 * 24 * 3600


@pytest.mark.parametrize("days", [1, 30, 3650])
def test_a_changed_setting_applies_to_all_rows_from_the_next_start(make_app, dropped, days):
    for setting in (365, days):
        assert make_app(AUDIT_DAYS=setting).test_client().get("/health").status_code == 200
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == days * 24 * 3600


def test_workers_that_start_at_once_agree_on_the_setting(make_app, dropped):
    make_app().test_client().get("/health")
    clients = [make_app(AUDIT_DAYS=30).test_client() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda client: client.get("/health").status_code, clients)) == {200}
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == 30 * 24 * 3600


def test_workers_with_the_old_setting_go_on_and_do_not_change_it_back(make_app, dropped, monkeypatch, capture_logs):
    monkeypatch.setattr("pixora.database.client.INDEX_CHECK_SECONDS", 0)
    old, new = (make_app(AUDIT_DAYS=days).test_client() for days in (365, 30))
    with capture_logs() as lines:
        for client in (old, new, old, old, new):
            assert client.get("/health").status_code == 200
    assert not lines
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == 30 * 24 * 3600


def test_rows_that_did_not_expire_do_so_by_the_setting(make_app, dropped):
    dropped.create_index("at")
    assert make_app(AUDIT_DAYS=30).test_client().get("/health").status_code == 200
    assert dropped.index_information()["at_1"]["expireAfterSeconds"] == 30 * 24 * 3600


def test_no_detail_has_the_name_of_a_log_field():
    taken = {"event", "user_id", "network", "request_id", "by", "message", "level", "logger", "time", "name", "args"}
    assert not [name for name, event in EVENTS.items() if event.details & taken]


def test_the_documentation_lists_exactly_the_events():
    page = PAGE.read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)] == list(EVENTS)


def test_the_documentation_states_the_limits_of_the_trail():
    page = PAGE.read_text()
    assert f"limited to {module.MAX_UNKNOWN_ROWS:,}" in page
    assert timedelta(minutes=10) == KEPT
    assert "ten minutes later" in page
