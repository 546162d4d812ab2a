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
from tests.conftest import close
from tests.factories import PASSWORD, fastapi_user, signup_body
from tests.timeouts import SOON

LIMITS = {
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "10 per 15 minute",
    "THROTTLE_LOGIN_PER_ACCOUNT": "100 per hour",
    "THROTTLE_LOGIN_PER_IP": "60 per 15 minute",
    "THROTTLE_SIGNUP_PER_IP": "20 per hour",
}
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


def log_in(client, password="wrong", email=EMAIL, address="192.0.2.1", **headers):
    return client.post(
        "/api/auth/login",
        data={"username": email, "password": password},
        environ_overrides={"REMOTE_ADDR": address},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def statuses(client, times, **options):
    return [log_in(client, **options).status_code for _ in range(times)]


def at_once(times, *clients, **options):
    with ThreadPoolExecutor(times) as pool:
        calls = [pool.submit(log_in, clients[number % len(clients)], **options) for number in range(times)]
        return sorted(call.result().status_code for call in calls)


def state(counts):
    """What the counters hold: how much stays counted, and how much is in flight."""
    return {(document["count"], len(document["leases"])) for document in counts.find()}


def test_wrong_guesses_are_refused_when_the_limit_is_reached_and_so_is_the_right_one_then(client):
    assert statuses(client, 11) == [401] * 10 + [429]
    assert log_in(client, PASSWORD).status_code == 429


def test_a_refusal_is_a_problem_and_says_when_to_come_back(client):
    statuses(client, 10)
    response = log_in(client)
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == "rate_limited"
    assert response.json["status"] == 429
    assert 890 <= int(response.headers["Retry-After"]) <= 900


def test_a_refused_attempt_costs_no_hash_and_leaves_nothing(client, counts, monkeypatch):
    statuses(client, 10)
    before = list(counts.find())
    monkeypatch.setattr(verify, "verify_password", None)
    assert log_in(client).status_code == 429
    assert list(counts.find()) == before


def test_a_network_that_is_refused_costs_two_commands_and_no_write(throttled, counts, watch_commands):
    client = throttled(THROTTLE_LOGIN_PER_IP="1 per hour").test_client()
    log_in(client)
    with watch_commands() as commands:
        assert log_in(client).status_code == 429
    assert [command.command_name for command in commands] == ["update", "find"]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8:1:2::1"])
def test_a_login_takes_five_commands(client, watch_commands, address):
    log_in(client, PASSWORD, address=address)
    with watch_commands() as commands:
        assert log_in(client, PASSWORD, address=address).status_code == 200
    assert [(one.command_name, one.command[one.command_name]) for one in commands] == [
        *(("update", "throttles"), ("find", "users"), ("update", "throttles")),
        *(("update", "users"), ("update", "audit")),
    ]


def test_right_guesses_are_handed_back(client, counts):
    assert statuses(client, 12, password=PASSWORD) == [200] * 12
    assert state(counts) == {(0, 0)}


def test_a_right_guess_hands_back_itself_only(client):
    statuses(client, 9)
    assert log_in(client, PASSWORD).status_code == 200
    assert statuses(client, 2) == [401, 429]


def test_a_wrong_guess_stays_counted_and_is_no_longer_in_flight(client, counts):
    statuses(client, 3)
    assert state(counts) == {(3, 0)}
    assert counts.count_documents({}) == 3


def test_a_guess_that_came_to_no_verdict_is_handed_back(client, counts, monkeypatch):
    def fail(*args):
        raise DatabaseUnavailable

    monkeypatch.setattr(verify, "verify_password", fail)
    assert log_in(client).status_code == 503
    assert state(counts) == {(0, 0)}


def test_a_guess_is_handed_back_also_by_a_request_that_has_used_up_its_time_for_the_database(throttled, counts):
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


def test_a_guess_waits_for_the_verdict_on_those_in_flight(throttled):
    app = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour")
    with ThreadPoolExecutor(1) as pool:
        with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1") as attempt:
            waiting = pool.submit(log_in, app.test_client(), PASSWORD)
            time.sleep(0.3)
            assert not waiting.done()
            attempt.is_correct = True
        assert waiting.result().status_code == 200


def test_an_attempt_that_has_waited_for_too_long_is_told_when_the_others_have_expired(throttled, counts, monkeypatch):
    """As after a worker was killed: its attempt stays in flight until its lease ends."""
    monkeypatch.setattr(limits, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(verify, "verify_password", None)
    app = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour", HASH_QUEUE_SECONDS=10)
    with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1"):
        response = log_in(app.test_client(), PASSWORD)
    assert response.status_code == 429
    assert 15 <= int(response.headers["Retry-After"]) <= 28  # 2 * 10 + 3 + 5


def test_an_attempt_whose_worker_has_gone_makes_room_when_its_lease_ends(throttled, counts, monkeypatch):
    monkeypatch.setattr(pixora, "LEASE_MARGIN", timedelta(0))
    app = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour", HASH_QUEUE_SECONDS=0.1, DATABASE_TIMEOUT_MS=800)
    with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1") as lost:
        assert (
            log_in(throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour").test_client(), PASSWORD).status_code == 200
        )
        lost.is_correct = True


def test_a_wrong_attempt_that_took_longer_than_its_lease_stays_counted(throttled, counts, monkeypatch):
    monkeypatch.setattr(pixora, "LEASE_MARGIN", timedelta(0))
    app = throttled(HASH_QUEUE_SECONDS=0.1, DATABASE_TIMEOUT_MS=300)
    with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1"):
        time.sleep(0.6)
        assert log_in(app.test_client(), PASSWORD).status_code == 200
    assert state(counts) == {(1, 0)}


def test_attempts_that_wait_leave_seats_for_others(throttled, users, monkeypatch):
    """Of four seats, three may be taken by attempts that wait; whoever finds none of these is refused at once."""
    users.insert_one(fastapi_user(email="ada@example.com"))
    app = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour", GUNICORN_THREADS=8)
    with ThreadPoolExecutor(4) as pool:
        with app.app_context(), services.throttles.attempt(EMAIL.lower(), "192.0.2.1") as attempt:
            waiting = [pool.submit(log_in, app.test_client(), PASSWORD) for _ in range(4)]
            refused = next(as_completed(waiting)).result()
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 1
            assert log_in(app.test_client(), PASSWORD, "ada@example.com").status_code == 200
            attempt.is_correct = True
        assert sorted(call.result().status_code for call in waiting) == [200] * 3 + [429]


def test_many_wrong_guesses_at_once_cannot_outrun_the_limit(throttled):
    clients = [throttled().test_client() for _ in range(2)]
    assert at_once(60, *clients) == [401] * 10 + [429] * 50


def test_many_right_guesses_at_once_all_get_in(throttled):
    clients = [throttled().test_client() for _ in range(2)]
    assert at_once(40, *clients, password=PASSWORD) == [200] * 40


def test_a_guess_that_waits_is_refused_as_soon_as_the_others_were_wrong(throttled):
    started = time.monotonic()
    assert at_once(20, throttled().test_client()) == [401] * 10 + [429] * 10
    assert time.monotonic() - started < limits.TIMEOUT_SECONDS / 2


@pytest.mark.parametrize(
    "spelling", ["GRACE.HOPPER@EXAMPLE.COM", "grace.hopper@example.com", "Grace.Hopper@Example.com"]
)
def test_every_spelling_of_an_address_is_counted_together(client, spelling):
    statuses(client, 10, email=spelling)
    assert log_in(client, PASSWORD).status_code == 429


def test_an_unknown_account_is_throttled_alike(client):
    known, unknown = [], []
    for _ in range(11):
        known.append(log_in(client))
        unknown.append(log_in(client, email="nobody@example.com"))
    told = [[(response.status_code, response.json["code"]) for response in responses] for responses in (known, unknown)]
    assert told[0] == told[1]
    assert told[0][-1] == (429, "rate_limited")


def test_the_owner_gets_in_from_another_network_while_an_attacker_is_refused(client):
    statuses(client, 200)
    assert log_in(client).status_code == 429
    assert log_in(client, PASSWORD, address="198.51.100.7").status_code == 200


def test_another_account_gets_in_from_the_same_network(client, users):
    users.insert_one(fastapi_user(email="ada@example.com"))
    statuses(client, 11)
    assert log_in(client, PASSWORD, "ada@example.com").status_code == 200


def test_an_account_is_guessed_at_from_many_networks_only_so_often(throttled):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT="5 per hour").test_client()
    told = [log_in(client, address=f"192.0.2.{number}") for number in range(6)]
    assert [response.status_code for response in told] == [401] * 5 + [429]
    assert 3590 <= int(told[-1].headers["Retry-After"]) <= 3600


def test_a_network_guesses_only_so_often_whatever_the_accounts(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_IP="5 per hour").test_client()
    told = [log_in(client, email=f"{number}@example.com").status_code for number in range(5)]
    stored = counts.count_documents({})
    told += [log_in(client, email=f"{number}@example.com").status_code for number in range(5, 8)]
    assert told == [401] * 5 + [429] * 3
    assert counts.count_documents({}) == stored


def test_what_one_limit_refuses_is_not_counted_by_another(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per hour").test_client()
    statuses(client, 20)
    assert state(counts) == {(2, 0)}


def test_what_a_later_limit_refuses_is_not_counted_by_the_ones_before(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT="2 per hour").test_client()
    assert [log_in(client, address=f"192.0.2.{number}").status_code for number in range(4)] == [401, 401, 429, 429]
    networks = counts.find({"_id": {"$regex": "PER_IP/"}})
    assert sorted((one["count"], len(one["leases"])) for one in networks) == [(0, 0), (0, 0), (1, 0), (1, 0)]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
@pytest.mark.parametrize("proxies", [0, 1])
def test_a_spoofed_header_does_not_move_the_client(throttled, header, proxies):
    """The proxy, where there is one, adds the address it sees to what came."""
    client = throttled(PROXY_COUNT=proxies).test_client()
    told = []
    for number in range(11):
        spoofed = f"203.0.113.{number}"
        headers = {header: f"for={spoofed}" if header == "Forwarded" else spoofed}
        if proxies:
            seen = [headers.get("X-Forwarded-For"), "198.51.100.7"]
            headers["X-Forwarded-For"] = ", ".join(filter(None, seen))
        told.append(log_in(client, **headers).status_code)
    assert told == [401] * 10 + [429]


def test_behind_a_proxy_each_client_is_counted_for_itself(throttled):
    client = throttled(PROXY_COUNT=1).test_client()
    assert statuses(client, 11, X_Forwarded_For="198.51.100.7")[-1] == 429
    assert log_in(client, X_Forwarded_For="198.51.100.8").status_code == 401


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("pixora.sock", "unknown"),
    ],
)
def test_a_client_is_known_by_its_network(address, network):
    assert limits.network(address) == network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("2001:db8:1:ffff::", "2001:db8:1::/48"),
        *((address, None) for address in ("192.0.2.1", "::ffff:192.0.2.1", "", None, "pixora.sock")),
    ],
)
def test_a_client_of_ipv6_has_a_larger_network(address, network):
    assert limits.wide_network(address) == network


def test_many_networks_of_one_customer_cannot_lock_the_owner_out(throttled):
    client = throttled().test_client()
    told = [log_in(client, address=f"2001:db8:1:{number}::1").status_code for number in range(52)]
    assert told == [401] * 50 + [429] * 2
    assert log_in(client, PASSWORD, address="2001:db8:2::1").status_code == 200


def test_many_networks_of_one_customer_sign_up_only_so_often(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    told = [
        client.post(
            "/api/auth/signup", json=signup_body(), environ_overrides={"REMOTE_ADDR": f"2001:db8:1:{number}::1"}
        ).status_code
        for number in range(6)
    ]
    assert told == [201] + [409] * 4 + [429]


def test_the_addresses_of_one_ipv6_network_are_counted_together(client):
    told = [log_in(client, address=f"2001:db8:1:2::{number}").status_code for number in range(11)]
    assert told == [401] * 10 + [429]
    assert log_in(client, address="2001:db8:1:3::1").status_code == 401


def test_a_window_ends_when_the_refusal_said(throttled):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per 2 second").test_client()
    statuses(client, 2)
    refused = log_in(client)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] in ("1", "2")
    time.sleep(int(refused.headers["Retry-After"]))
    assert statuses(client, 3) == [401, 401, 429]


def test_sign_ups_from_one_network_are_refused_when_the_limit_is_reached(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="3 per hour").test_client()
    told = [client.post("/api/auth/signup", json=signup_body()) for _ in range(4)]
    assert [response.status_code for response in told] == [201, 409, 409, 429]
    assert told[-1].json["code"] == "rate_limited"
    assert 3590 <= int(told[-1].headers["Retry-After"]) <= 3600


def test_a_sign_up_with_faults_is_not_counted(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    for _ in range(3):
        assert client.post("/api/auth/signup", json=signup_body(password="short")).status_code == 422
    assert client.post("/api/auth/signup", json=signup_body()).status_code == 201


def test_a_sign_up_with_a_password_that_is_easy_to_guess_is_counted(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="2 per hour").test_client()
    told = [client.post("/api/auth/signup", json=signup_body(password="adalovelace1990")) for _ in range(3)]
    assert [response.status_code for response in told] == [422, 422, 429]


def test_a_refused_sign_up_costs_no_hash_and_no_score(throttled, monkeypatch):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    client.post("/api/auth/signup", json=signup_body())
    monkeypatch.setattr(verify, "hash_password", None)
    monkeypatch.setattr(strength, "zxcvbn", None)
    assert client.post("/api/auth/signup", json=signup_body(email="new@example.com")).status_code == 429


def test_sign_ups_do_not_count_as_guesses(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    for _ in range(12):
        client.post("/api/auth/signup", json=signup_body(), environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    assert log_in(client, PASSWORD).status_code == 200


@pytest.mark.parametrize("path", ["login", "signup"])
def test_nothing_is_let_through_where_the_counts_are_out_of_reach(throttled, monkeypatch, path):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    client = throttled(MONGO_URI=uri, DATABASE_TIMEOUT_MS=300).test_client()
    monkeypatch.setattr(verify, "verify_password", None)
    monkeypatch.setattr(verify, "hash_password", None)
    started = time.monotonic()
    response = log_in(client) if path == "login" else client.post("/api/auth/signup", json=signup_body())
    assert time.monotonic() - started < SOON
    assert (response.status_code, response.json["code"]) == (503, "database_unavailable")


def test_nothing_is_let_through_where_the_counts_are_slow(throttled, tmp_path, monkeypatch):
    """Every write is held up for longer than the deadline, as on a disk that hangs; reads are not."""
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
        close(app)  # while there is still someone to say goodbye to


def test_the_index_that_removes_old_counts_is_there_before_the_first_request_is_served(throttled, counts):
    counts.drop()
    assert throttled().test_client().get("/health").status_code == 200
    assert counts.index_information()["expireAt_1"] == {"v": 2, "key": [("expireAt", 1)], "expireAfterSeconds": 0}


def test_the_counters_and_the_log_hold_no_address_of_an_account(client, counts, capture_logs):
    with capture_logs() as lines:
        statuses(client, 11)
    [line] = [line for line in lines if line.get("event") == "rate_limited"]
    assert line["limits"] == ["THROTTLE_LOGIN_PER_ACCOUNT_AND_IP"]
    assert "hopper" not in (str(lines) + str(list(counts.find()))).lower()


@pytest.mark.parametrize("text", [EMAIL.lower(), "192.0.2.1", "2001:db8:1:2::/64", "2001:db8:1::/48"])
def test_the_counters_name_nobody_without_the_key(client, counts, text):
    log_in(client)
    log_in(client, address="2001:db8:1:2::1")
    client.post("/api/auth/signup", json=signup_body(), environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    stored = str(list(counts.find()))
    assert text not in stored
    assert hashlib.sha256(text.encode()).hexdigest()[:32] not in stored


def test_under_another_secret_key_the_counters_are_others(throttled, counts):
    for secret in ("one", "another"):
        log_in(throttled(SECRET_KEY=secret).test_client())
    assert state(counts) == {(1, 0)}


def test_counters_of_an_earlier_version_break_nothing(client, counts):
    log_in(client)
    counts.update_many({}, {"$unset": {"leases": True}, "$set": {"count": 1_000_000_001}})
    assert log_in(client, PASSWORD).status_code == 429
    counts.update_many({}, {"$set": {"count": 3}})
    assert log_in(client, PASSWORD).status_code == 200


def test_many_first_attempts_at_once_make_one_counter(throttled, counts):
    """Two upserts of one document at the same moment: one of them finds that it is there already."""
    app = throttled()

    def first(number):
        at = str(number)

        def hit(_):
            with app.app_context():
                bucket = services.throttles.bucket("THROTTLE_SIGNUP_PER_IP", at)
                return services.throttles.may(bucket)

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(hit, range(8)))

    assert [first(number) for number in range(100)] == [[True] * 8] * 100
    assert {document["count"] for document in counts.find()} == {8}
