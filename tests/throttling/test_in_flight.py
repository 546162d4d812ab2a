"""Attempts in flight: what they wait for, how they are handed back, and when their leases expire."""

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta

import pytest

import pixora
from pixora.database import deadline
from pixora.errors import DatabaseUnavailable
from pixora.passwords import verify
from pixora.services import services
from pixora.throttling import limits
from tests.factories import PASSWORD, fastapi_user
from tests.throttling.conftest import EMAIL, attempt_login, state, statuses

PATIENT = {"DATABASE_TIMEOUT_MS": 30_000}
"""For dozens of attempts at once, which take long on a busy machine."""


def at_once(times, *clients, **options):
    with ThreadPoolExecutor(times) as pool:
        calls = [pool.submit(attempt_login, clients[number % len(clients)], **options) for number in range(times)]
        return sorted(call.result().status_code for call in calls)


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
