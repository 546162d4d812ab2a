"""The stored counters: what they reveal, and logins while they are out of reach."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import pymongo
import pytest
from mongod import Mongod, free_port

import config
from pixora.passwords import verify
from pixora.services import services
from tests.conftest import close
from tests.factories import PASSWORD, sign_up, signup_body
from tests.throttling.conftest import EMAIL, attempt_login, state, statuses
from tests.timeouts import SOON

LOGIN = {"username": EMAIL, "password": PASSWORD}


@pytest.mark.parametrize("client_ip", ["192.0.2.1", "2001:db8:1:2::1"])
def test_a_login_takes_five_commands(client, watch_commands, client_ip):
    attempt_login(client, PASSWORD, client_ip=client_ip)
    with watch_commands() as commands:
        assert attempt_login(client, PASSWORD, client_ip=client_ip).status_code == 200
    assert [(one.command_name, one.command[one.command_name]) for one in commands] == [
        *(("update", "throttles"), ("find", "users"), ("update", "throttles")),
        *(("update", "users"), ("update", "audit")),
    ]


@pytest.mark.parametrize("path", ["login", "signup"])
def test_everything_is_refused_when_the_counters_are_unreachable(throttled, monkeypatch, path):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    client = throttled(MONGO_URI=uri, DATABASE_TIMEOUT_MS=300).test_client()
    monkeypatch.setattr(verify, "verify_password", None)
    monkeypatch.setattr(verify, "hash_password", None)
    started = time.monotonic()
    response = attempt_login(client) if path == "login" else sign_up(client)
    assert time.monotonic() - started < SOON
    assert (response.status_code, response.json["code"]) == (503, "database_unavailable")


def test_everything_is_refused_when_the_counters_are_slow(throttled, tmp_path, monkeypatch):
    """Writes take longer than the deadline, as on a disk that hangs; reads do not."""
    with (
        Mongod(tmp_path, binary=config.mongod()) as mongod,
        pymongo.MongoClient(mongod.uri("admin")) as admin,
    ):
        app = throttled(MONGO_URI=mongod.uri("pixora"), DATABASE_TIMEOUT_MS=300)
        client = app.test_client()
        assert client.get("/health").status_code == 200
        monkeypatch.setattr(verify, "verify_password", None)
        monkeypatch.setattr(verify, "hash_password", None)
        admin.admin.command("fsync", lock=True)
        try:
            for path, body in (("login", {"data": LOGIN}), ("signup", {"json": signup_body()})):
                started = time.monotonic()
                response = client.post(f"/api/auth/{path}", **body)
                assert time.monotonic() - started < SOON
                assert (response.status_code, response.json["code"]) == (503, "database_unavailable")
        finally:
            admin.admin.command("fsyncUnlock")
        close(app)  # while the server still runs


def test_the_index_that_removes_old_counters_exists_before_the_first_request(throttled, counts):
    counts.drop()
    assert throttled().test_client().get("/health").status_code == 200
    assert counts.index_information()["expireAt_1"] == {"v": 2, "key": [("expireAt", 1)], "expireAfterSeconds": 0}


def test_counters_and_log_contain_no_e_mail_address(client, counts, capture_logs):
    with capture_logs() as lines:
        statuses(client, 11)
    [line] = [line for line in lines if line.get("event") == "rate_limited"]
    assert line["limits"] == ["THROTTLE_LOGIN_PER_ACCOUNT_AND_IP"]
    assert "hopper" not in (str(lines) + str(list(counts.find()))).lower()


@pytest.mark.parametrize("text", [EMAIL.lower(), "192.0.2.1", "2001:db8:1:2::/64", "2001:db8:1::/48"])
def test_counters_identify_nobody_without_the_key(client, counts, text):
    attempt_login(client)
    attempt_login(client, client_ip="2001:db8:1:2::1")
    client.post("/api/auth/signup", json=signup_body(), environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    stored = str(list(counts.find()))
    assert text not in stored
    assert hashlib.sha256(text.encode()).hexdigest()[:32] not in stored


def test_another_secret_key_has_other_counters(throttled, counts):
    for secret in ("one", "another"):
        attempt_login(throttled(SECRET_KEY=secret).test_client())
    assert state(counts) == {(1, 0)}


def test_counters_of_an_earlier_version_are_read(client, counts):
    attempt_login(client)
    counts.update_many({}, {"$unset": {"leases": True}, "$set": {"count": 3}})
    assert attempt_login(client, PASSWORD).status_code == 200
    counts.update_many({}, {"$unset": {"leases": True}, "$set": {"count": 1_000_000_001}})
    assert attempt_login(client, PASSWORD).status_code == 429


def test_parallel_first_attempts_create_one_counter(throttled, counts):
    """Two upserts create one document at the same moment, and one of them finds that it exists."""
    app = throttled()

    def first(number):
        at = str(number)

        def hit(_):
            with app.app_context():
                bucket = services.throttles.bucket("THROTTLE_SIGNUP_PER_IP", at)
                return services.throttles.try_count(bucket)

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(hit, range(8)))

    assert [first(number) for number in range(100)] == [[True] * 8] * 100
    assert {document["count"] for document in counts.find()} == {8}
