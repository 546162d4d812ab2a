import hashlib
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta

import pymongo
import pytest
from mongod import Mongod, free_port

import config
import pixora
from pixora.database import deadline
from pixora.errors import DatabaseUnavailable
from pixora.passwords import strength, verify
from pixora.services import services
from pixora.throttling import limits
from pixora.throttling.counters import Window
from tests.conftest import close
from tests.factories import PASSWORD, fastapi_user, log_in, sign_up, signup_body
from tests.timeouts import LONG, SOON

LIMITS = {
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "10 per 15 minute",
    "THROTTLE_LOGIN_PER_ACCOUNT": "100 per hour",
    "THROTTLE_LOGIN_PER_IP": "60 per 15 minute",
    "THROTTLE_SIGNUP_PER_IP": "20 per hour",
}
PATIENT = {"DATABASE_TIMEOUT_MS": 30_000}
"""For dozens of attempts at once, which take long on a busy machine."""

EMAIL = "Grace.Hopper@example.com"
LOGIN = {"username": EMAIL, "password": PASSWORD}


@pytest.fixture
def throttled(make_app, users, counts):
    """An application with the default limits and some changed; Grace has an account."""
    users.insert_one(fastapi_user())
    return lambda **changes: make_app(**LIMITS | changes)


@pytest.fixture
def client(throttled):
    return throttled().test_client()


def attempt_login(client, password="wrong", email=EMAIL, client_ip="192.0.2.1", **headers):
    return log_in(
        client,
        email,
        password,
        environ_overrides={"REMOTE_ADDR": client_ip},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def statuses(client, times, **options):
    return [attempt_login(client, **options).status_code for _ in range(times)]


def at_once(times, *clients, **options):
    with ThreadPoolExecutor(times) as pool:
        calls = [pool.submit(attempt_login, clients[number % len(clients)], **options) for number in range(times)]
        return sorted(call.result().status_code for call in calls)


def state(counts):
    """Return how much the counters count, and how much is in flight."""
    return {(document["count"], len(document["leases"])) for document in counts.find()}


def test_every_attempt_is_refused_after_the_limit_of_wrong_ones(client):
    assert statuses(client, 11) == [401] * 10 + [429]
    assert attempt_login(client, PASSWORD).status_code == 429


def test_who_goes_on_after_a_refusal_is_refused_without_the_database(client, monkeypatch, watch_commands):
    monkeypatch.setattr(limits, "REMEMBERED_SECONDS", LONG)
    statuses(client, 11)
    with watch_commands() as commands:
        answers = [attempt_login(client, PASSWORD) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429] * 3
    assert commands == []
    assert all(600 < int(answer.headers["Retry-After"]) <= 900 for answer in answers)
    assert attempt_login(client, PASSWORD, client_ip="192.0.2.2").status_code == 200


def test_a_refusal_is_not_remembered_past_the_end_of_the_window(client, monkeypatch, watch_commands, counts):
    monkeypatch.setattr(limits, "REMEMBERED_SECONDS", LONG)
    statuses(client, 10)
    counts.update_many({}, [{"$set": {"expireAt": {"$add": ["$$NOW", 900]}}}])
    assert attempt_login(client, PASSWORD).status_code in (200, 429)  # on a busy machine the window has ended
    time.sleep(1)
    assert attempt_login(client, PASSWORD).status_code == 200


def test_a_reset_makes_the_worker_forget_a_refusal(client, monkeypatch):
    monkeypatch.setattr(limits, "REMEMBERED_SECONDS", LONG)
    statuses(client, 11)
    with client.application.app_context():
        services.throttles.forget(EMAIL.lower(), *limits.LOGIN)
    assert attempt_login(client, PASSWORD).status_code == 200


def test_a_worker_remembers_a_bounded_number_of_limits(throttled):
    with throttled().app_context():
        limit = services.throttles.bucket("THROTTLE_LOGIN_PER_ACCOUNT", EMAIL)
    known = limits.SpentLimits()
    for number in range(3 * limits.MAX_REMEMBERED):
        known.note([Window(limit._replace(key=str(number)), counted=100, seconds_left=900)])
    assert known.find([limit._replace(key="0")]) == []
    assert len(known.find([limit._replace(key=str(number)) for number in range(5000)])) <= limits.MAX_REMEMBERED


def test_a_refusal_is_a_problem_with_retry_after(client):
    statuses(client, 10)
    response = attempt_login(client)
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == "rate_limited"
    assert response.json["status"] == 429
    assert 890 <= int(response.headers["Retry-After"]) <= 900


def test_a_refused_attempt_costs_no_hash_and_leaves_nothing(client, counts, monkeypatch):
    statuses(client, 10)
    before = list(counts.find())
    monkeypatch.setattr(verify, "verify_password", None)
    assert attempt_login(client).status_code == 429
    assert list(counts.find()) == before


def test_a_refused_network_costs_two_commands_and_no_write(throttled, counts, watch_commands):
    client = throttled(THROTTLE_LOGIN_PER_IP="1 per hour").test_client()
    attempt_login(client)
    with watch_commands() as commands:
        assert attempt_login(client).status_code == 429
    assert [command.command_name for command in commands] == ["update", "find"]


@pytest.mark.parametrize("client_ip", ["192.0.2.1", "2001:db8:1:2::1"])
def test_a_login_takes_five_commands(client, watch_commands, client_ip):
    attempt_login(client, PASSWORD, client_ip=client_ip)
    with watch_commands() as commands:
        assert attempt_login(client, PASSWORD, client_ip=client_ip).status_code == 200
    assert [(one.command_name, one.command[one.command_name]) for one in commands] == [
        *(("update", "throttles"), ("find", "users"), ("update", "throttles")),
        *(("update", "users"), ("update", "audit")),
    ]


def test_correct_attempts_are_handed_back(client, counts):
    assert statuses(client, 12, password=PASSWORD) == [200] * 12
    assert state(counts) == {(0, 0)}


def test_a_correct_attempt_hands_back_only_itself(client):
    statuses(client, 9)
    assert attempt_login(client, PASSWORD).status_code == 200
    assert statuses(client, 2) == [401, 429]


def test_a_wrong_attempt_stays_counted_and_is_no_longer_in_flight(client, counts):
    statuses(client, 3)
    assert state(counts) == {(3, 0)}
    assert counts.count_documents({}) == 3


def test_an_attempt_without_a_verdict_is_handed_back(client, counts, monkeypatch):
    def fail(*args):
        raise DatabaseUnavailable

    monkeypatch.setattr(verify, "verify_password", fail)
    assert attempt_login(client).status_code == 503
    assert state(counts) == {(0, 0)}


def test_a_request_without_time_left_for_the_database_still_hands_its_attempt_back(throttled, counts):
    def fail():
        assert state(counts) == {(0, 1)}
        deadline.note(60.0)
        raise DatabaseUnavailable

    app = throttled()
    with app.test_request_context():
        app.preprocess_request()
        with pytest.raises(DatabaseUnavailable), services.throttles.attempt(EMAIL.lower(), "192.0.2.1"):
            fail()
    assert state(counts) == {(0, 0)}


def test_an_attempt_waits_for_the_verdicts_on_those_in_flight(throttled):
    app = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour")
    with ThreadPoolExecutor(1) as pool:
        with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1") as attempt:
            waiting = pool.submit(attempt_login, app.test_client(), PASSWORD)
            time.sleep(0.3)
            assert not waiting.done()
            attempt.is_correct = True
        assert waiting.result().status_code == 200


def test_an_attempt_that_waits_too_long_is_refused_until_the_leases_expire(throttled, counts, monkeypatch):
    """The attempt of a killed worker stays in flight until its lease expires."""
    monkeypatch.setattr(limits, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(verify, "verify_password", None)
    app = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour", HASH_QUEUE_SECONDS=10)
    with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1"):
        response = attempt_login(app.test_client(), PASSWORD)
    assert response.status_code == 429
    assert 15 <= int(response.headers["Retry-After"]) <= 28  # 2 * 10 + 3 + 5


def test_the_attempt_of_a_killed_worker_makes_room_when_its_lease_expires(throttled, counts, monkeypatch):
    monkeypatch.setattr(pixora, "LEASE_MARGIN", timedelta(0))
    app = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour", HASH_QUEUE_SECONDS=0.1, DATABASE_TIMEOUT_MS=800)
    with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1") as lost:
        patient = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour").test_client()
        assert attempt_login(patient, PASSWORD).status_code == 200
        lost.is_correct = True


def test_a_wrong_attempt_that_took_longer_than_its_lease_stays_counted(throttled, counts, monkeypatch):
    monkeypatch.setattr(pixora, "LEASE_MARGIN", timedelta(0))
    app, patient = throttled(HASH_QUEUE_SECONDS=0.1, DATABASE_TIMEOUT_MS=800), throttled()
    with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1"):
        time.sleep(1.1)
        assert attempt_login(patient.test_client(), PASSWORD).status_code == 200
    assert state(counts) == {(1, 0)}


def test_waiting_attempts_leave_slots_for_others(throttled, users, monkeypatch):
    """Waiting attempts may take three of four slots; a fourth one is refused at once."""
    users.insert_one(fastapi_user(email="ada@example.com"))
    app = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour", GUNICORN_THREADS=8)
    with ThreadPoolExecutor(4) as pool:
        with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1") as attempt:
            waiting = [pool.submit(attempt_login, app.test_client(), PASSWORD) for _ in range(4)]
            refused = next(as_completed(waiting)).result()
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 1
            assert attempt_login(app.test_client(), PASSWORD, "ada@example.com").status_code == 200
            attempt.is_correct = True
        assert sorted(call.result().status_code for call in waiting) == [200] * 3 + [429]


def test_parallel_wrong_attempts_cannot_outrun_the_limit(throttled):
    clients = [throttled(**PATIENT).test_client() for _ in range(2)]
    assert at_once(60, *clients) == [401] * 10 + [429] * 50


def test_parallel_correct_attempts_all_succeed(throttled):
    clients = [throttled(**PATIENT).test_client() for _ in range(2)]
    assert at_once(40, *clients, password=PASSWORD) == [200] * 40


def test_a_waiting_attempt_is_refused_as_soon_as_the_others_were_wrong(throttled):
    started = time.monotonic()
    assert at_once(20, throttled(**PATIENT).test_client()) == [401] * 10 + [429] * 10
    assert time.monotonic() - started < limits.TIMEOUT_SECONDS / 2


@pytest.mark.parametrize(
    "spelling", ["GRACE.HOPPER@EXAMPLE.COM", "grace.hopper@example.com", "Grace.Hopper@Example.com"]
)
def test_every_spelling_of_an_address_is_counted_together(client, spelling):
    statuses(client, 10, email=spelling)
    assert attempt_login(client, PASSWORD).status_code == 429


def test_an_unknown_account_is_throttled_like_a_known_one(client):
    known, unknown = [], []
    for _ in range(11):
        known.append(attempt_login(client))
        unknown.append(attempt_login(client, email="nobody@example.com"))
    answers = [
        [(response.status_code, response.json["code"]) for response in responses] for responses in (known, unknown)
    ]
    assert answers[0] == answers[1]
    assert answers[0][-1] == (429, "rate_limited")


def test_the_owner_logs_in_from_another_network_while_an_attacker_is_refused(client):
    statuses(client, 200)
    assert attempt_login(client).status_code == 429
    assert attempt_login(client, PASSWORD, client_ip="198.51.100.7").status_code == 200


def test_another_account_logs_in_from_the_same_network(client, users):
    users.insert_one(fastapi_user(email="ada@example.com"))
    statuses(client, 11)
    assert attempt_login(client, PASSWORD, "ada@example.com").status_code == 200


def test_attempts_on_one_account_from_many_networks_are_limited(throttled):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT="5 per hour").test_client()
    answers = [attempt_login(client, client_ip=f"192.0.2.{number}") for number in range(6)]
    assert [response.status_code for response in answers] == [401] * 5 + [429]
    assert 3590 <= int(answers[-1].headers["Retry-After"]) <= 3600


def test_attempts_of_one_network_on_many_accounts_are_limited(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_IP="5 per hour").test_client()
    answers = [attempt_login(client, email=f"{number}@example.com").status_code for number in range(5)]
    stored = counts.count_documents({})
    answers += [attempt_login(client, email=f"{number}@example.com").status_code for number in range(5, 8)]
    assert answers == [401] * 5 + [429] * 3
    assert counts.count_documents({}) == stored


def test_an_attempt_that_one_limit_refuses_is_not_counted_by_another(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per hour").test_client()
    statuses(client, 20)
    assert state(counts) == {(2, 0)}


def test_an_attempt_that_a_later_limit_refuses_is_not_counted_by_earlier_ones(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT="2 per hour").test_client()
    assert [attempt_login(client, client_ip=f"192.0.2.{number}").status_code for number in range(4)] == [
        401,
        401,
        429,
        429,
    ]
    networks = counts.find({"_id": {"$regex": "PER_IP/"}})
    assert sorted((one["count"], len(one["leases"])) for one in networks) == [(0, 0), (1, 0), (1, 0)]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
@pytest.mark.parametrize("proxies", [0, 1])
def test_a_spoofed_header_does_not_change_the_client(throttled, header, proxies):
    """A proxy appends the address it sees to the header."""
    client = throttled(PROXY_COUNT=proxies).test_client()
    answers = []
    for number in range(11):
        spoofed = f"203.0.113.{number}"
        headers = {header: f"for={spoofed}" if header == "Forwarded" else spoofed}
        if proxies:
            seen = [headers.get("X-Forwarded-For"), "198.51.100.7"]
            headers["X-Forwarded-For"] = ", ".join(filter(None, seen))
        answers.append(attempt_login(client, **headers).status_code)
    assert answers == [401] * 10 + [429]


def test_behind_a_proxy_each_client_is_counted_separately(throttled):
    client = throttled(PROXY_COUNT=1).test_client()
    assert statuses(client, 11, X_Forwarded_For="198.51.100.7")[-1] == 429
    assert attempt_login(client, X_Forwarded_For="198.51.100.8").status_code == 401


@pytest.mark.parametrize(
    ("client_ip", "networks"),
    [
        ("192.0.2.1", ["192.0.2.1"]),
        ("::ffff:192.0.2.1", ["192.0.2.1"]),
        ("2001:db8:1:2:3:4:5:6", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("2001:db8:1:2::", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("2001:db8:1:ffff::1", ["2001:db8:1:ffff::/64", "2001:db8:1::/48"]),
        ("fe80::1%eth0", ["fe80::/64", "fe80::/48"]),
        ("", ["unknown"]),
        (None, ["unknown"]),
        ("pixora.sock", ["unknown"]),
    ],
)
def test_a_client_is_counted_by_its_network_and_an_ipv6_client_by_a_wide_one_too(client_ip, networks):
    assert limits.networks(client_ip) == networks


def test_many_networks_of_one_customer_cannot_lock_the_owner_out(throttled):
    client = throttled().test_client()
    answers = [attempt_login(client, client_ip=f"2001:db8:1:{number}::1").status_code for number in range(52)]
    assert answers == [401] * 50 + [429] * 2
    assert attempt_login(client, PASSWORD, client_ip="2001:db8:2::1").status_code == 200


def test_sign_ups_from_many_networks_of_one_customer_are_limited(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    answers = [
        client.post(
            "/api/auth/signup", json=signup_body(), environ_overrides={"REMOTE_ADDR": f"2001:db8:1:{number}::1"}
        ).status_code
        for number in range(6)
    ]
    assert answers == [201] + [409] * 4 + [429]


def test_the_addresses_of_one_ipv6_network_are_counted_together(client):
    answers = [attempt_login(client, client_ip=f"2001:db8:1:2::{number}").status_code for number in range(11)]
    assert answers == [401] * 10 + [429]
    assert attempt_login(client, client_ip="2001:db8:1:3::1").status_code == 401


def test_a_window_ends_after_retry_after(throttled, counts, monkeypatch):
    monkeypatch.setattr(limits, "REMEMBERED_SECONDS", 0)
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per 15 minute").test_client()
    statuses(client, 2)
    refused = attempt_login(client)
    assert refused.status_code == 429
    passed = int(refused.headers["Retry-After"]) * 1000
    assert 600_000 < passed <= 900_000
    counts.update_many({}, [{"$set": {"expireAt": {"$subtract": ["$expireAt", passed]}}}])
    assert statuses(client, 3) == [401, 401, 429]


def test_sign_ups_from_one_network_are_refused_when_the_limit_is_reached(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="3 per hour").test_client()
    answers = [sign_up(client) for _ in range(4)]
    assert [response.status_code for response in answers] == [201, 409, 409, 429]
    assert answers[-1].json["code"] == "rate_limited"
    assert 3590 <= int(answers[-1].headers["Retry-After"]) <= 3600


def test_an_invalid_sign_up_is_not_counted(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    for _ in range(3):
        assert sign_up(client, password="short").status_code == 422
    assert sign_up(client).status_code == 201


def test_a_sign_up_with_a_password_that_is_easy_to_guess_is_counted(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="2 per hour").test_client()
    answers = [sign_up(client, password="adalovelace1990") for _ in range(3)]
    assert [response.status_code for response in answers] == [422, 422, 429]


def test_a_refused_sign_up_costs_no_hash_and_no_score(throttled, monkeypatch):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    sign_up(client)
    monkeypatch.setattr(verify, "hash_password", None)
    monkeypatch.setattr(strength, "zxcvbn", None)
    assert sign_up(client, email="new@example.com").status_code == 429


def test_sign_ups_do_not_count_as_login_attempts(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    for _ in range(12):
        client.post("/api/auth/signup", json=signup_body(), environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    assert attempt_login(client, PASSWORD).status_code == 200


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
