"""Refusals that a worker remembers, and what they save."""

import time

from pixora.passwords import verify
from pixora.services import services
from pixora.throttling import limits
from pixora.throttling.counters import Window
from tests.factories import PASSWORD
from tests.throttling.conftest import EMAIL, attempt_login, statuses
from tests.timeouts import LONG


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
