import re
import time
from datetime import timedelta

import pytest

from pixora import clock
from pixora.accounts import outbox
from pixora.accounts.outbox import LEASE, Backlog
from pixora.observability import metrics
from tests.factories import log_in, sign_up
from tests.timeouts import SOON


@pytest.fixture
def samples(client):
    """Read /metrics: the value of each sample, by its name and labels as they are written."""

    def read(client=client):
        response = client.get("/metrics")
        assert response.status_code == 200
        lines = (line for line in response.text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    return read


@pytest.fixture
def growth(samples):
    """Make calls, and tell by how much a sample has grown."""

    def grown(name, call):
        before = samples().get(name, 0)
        call()
        return samples().get(name, 0) - before

    return grown


def requests(route, method, status):
    return f'pixora_http_request_duration_seconds_count{{method="{method}",route="{route}",status="{status}"}}'


def test_the_format_is_prometheus_text(client):
    response = client.get("/metrics")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE pixora_http_request_duration_seconds histogram\n" in response.text


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "::1", "10.0.0.9", "172.16.0.1", "192.168.1.1", "fd00::9", "::ffff:10.0.0.9"],
)
def test_loopback_and_private_networks_get_an_answer(client, address):
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": address}).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "172.32.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "2001:db8::1", "fe80::1"),
        *("::ffff:8.8.8.8", "", "localhost", "127.0.0.1.evil"),
    ],
)
def test_other_networks_get_404(client, address):
    response = client.get("/metrics", environ_overrides={"REMOTE_ADDR": address})
    assert response.status_code == 404
    assert response.json["code"] == "not_found"
    assert "pixora_" not in response.text


@pytest.mark.parametrize("proxies", [0, 1, 2])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "8.8.8.8"},
        {"X-Forwarded-For": "8.8.8.8:40001"},
        {"X-Forwarded-For": "[2001:db8::7]:443"},
        {"X-Forwarded-For": "127.0.0.1, 8.8.8.8"},
        {"X-Forwarded-For": "8.8.8.8, 127.0.0.1"},
        {"X-Real-IP": "8.8.8.8"},
        {"Forwarded": "for=8.8.8.8"},
        {"Forwarded": "for=_hidden"},
        {"X-Forwarded-For": "unknown"},
        {"X-Forwarded-For": ""},
    ],
)
def test_clients_from_elsewhere_get_404_through_any_number_of_proxies(make_app, proxies, headers):
    client = make_app(PROXY_COUNT=proxies).test_client()
    assert client.get("/metrics", headers=headers).status_code == 404


def test_a_client_that_is_counted_as_a_proxy_cannot_claim_a_private_address(make_app):
    response = (
        make_app(PROXY_COUNT=1)
        .test_client()
        .get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}, environ_overrides={"REMOTE_ADDR": "8.8.8.8"})
    )
    assert response.status_code == 404


def test_private_clients_get_an_answer_through_a_private_proxy(make_app):
    client = make_app(PROXY_COUNT=1).test_client()
    for address in ("10.0.0.7", "10.0.0.7:40001", "[fd00::7]:443"):
        assert client.get("/metrics", headers={"X-Forwarded-For": address}).status_code == 200


def test_requests_are_counted_by_route_method_and_status(client, account, growth):
    assert (
        growth(requests("/api/users/me", "GET", 200), lambda: client.get("/api/users/me", headers=account.bearer)) == 1
    )
    assert growth(requests("/api/users/<user_id>", "GET", 401), lambda: client.get("/api/users/some-id")) == 1
    assert growth(requests("unknown", "GET", 404), lambda: client.get("/nowhere/at-all?token=x")) == 1
    assert growth(requests("unknown", "DELETE", 405), lambda: client.delete("/api/auth/login")) == 1
    assert growth(requests("/api/auth/login", "POST", 415), lambda: client.post("/api/auth/login", json={})) == 1
    assert (
        growth(requests("/api/auth/login", "POST", 413), lambda: client.post("/api/auth/login", data="x" * 99999)) == 1
    )


def test_unknown_methods_share_one_label(client, growth, samples):
    assert growth(requests("unknown", "other", 405), lambda: client.open("/", method="FOO")) == 1
    assert not [name for name in samples() if "FOO" in name]


def test_unknown_paths_share_one_series(client, samples):
    client.get("/nowhere")
    before = len(samples())
    for number in range(1000):
        client.get(f"/nowhere/{number}")
    assert len(samples()) == before


def test_internal_errors_are_counted(make_app, growth):
    app = make_app(TESTING=False)
    app.add_url_rule("/fault", view_func=lambda: 1 / 0)
    assert growth(requests("/fault", "GET", 500), lambda: app.test_client().get("/fault")) == 1


def test_database_operations_are_timed_by_name(client, account, growth):
    name = 'pixora_database_operation_seconds_count{operation="users.find"}'
    assert growth(name, lambda: client.get("/api/users/me", headers=account.bearer)) == 1


def test_database_failures_are_counted_by_reason(make_app, growth):
    gone = make_app(MONGO_URI="mongodb://127.0.0.1:1/pixora", DATABASE_TIMEOUT_MS=100).test_client()
    assert growth('pixora_database_errors_total{reason="unreachable"}', lambda: gone.get("/health")) == 1


def test_hashes_are_counted_and_timed(client, account, growth, samples):
    def log_in_once():
        assert log_in(client, account.email).status_code == 200

    for name in ("pixora_hashing_run_seconds_count", "pixora_hashing_wait_seconds_count"):
        assert growth(name, log_in_once) == 1
    assert growth('pixora_events_total{event="login"}', log_in_once) == 1
    assert samples()["pixora_hashing_queue"] == 0


def test_requests_rejected_by_the_hashing_queue_are_counted(make_app, growth):
    app = make_app(GUNICORN_THREADS=5)

    def log_in_while_the_only_seat_is_taken():
        with app.app_context(), app.extensions["services"].hashing_queue.slot():
            assert log_in(app.test_client(), "x@example.com").json["code"] == "overloaded"

    assert growth("pixora_hashing_shed_total", log_in_while_the_only_seat_is_taken) == 1


def test_throttled_requests_are_counted_by_limit(make_app, counts, growth):
    client = make_app(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()

    def sign_up_twice():
        for email in ("a@example.com", "b@example.com"):
            sign_up(client, email=email)

    assert growth('pixora_throttled_total{limit="THROTTLE_SIGNUP_PER_IP"}', sign_up_twice) == 1


def test_throttled_e_mails_are_counted(make_app, users, counts, growth):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="1 per hour").test_client()

    def reset_twice():
        for _ in range(2):
            assert client.post("/api/auth/password-reset", json={"email": "x@example.com"}).status_code == 202

    assert growth('pixora_throttled_total{limit="THROTTLE_MAIL_PER_ACCOUNT"}', reset_twice) == 1


def test_the_outbox_is_measured_by_age_and_number(make_app, users, samples, move_clock):
    app = make_app()
    client = app.test_client()
    sign_up(client)
    move_clock(minutes=20)
    found = samples(client)
    assert found["pixora_outbox_oldest_seconds"] == pytest.approx(1200, abs=10)
    assert found['pixora_outbox_letters{state="new"}'] == 1
    assert found['pixora_outbox_letters{state="failed"}'] == 0


def test_an_e_mail_that_waits_for_a_retry_is_not_late(make_app, users, samples):
    app = make_app()
    now = clock.utcnow()
    email = app.extensions["services"].outbox.compose("verify_email", "ada@example.com", now)
    waiting = email | {"due_at": now + LEASE, "failure": "refused"}
    given_up = email | {"due_at": None, "failure": "refused"}
    users.insert_one({"_id": "x", "email": "ada@example.com", "letters": [waiting, given_up]})
    found = samples(app.test_client())
    assert found["pixora_outbox_oldest_seconds"] == 0
    assert found['pixora_outbox_letters{state="new"}'] == 0
    assert found['pixora_outbox_letters{state="failed"}'] == 1


def test_the_number_of_very_many_e_mails_is_a_lower_bound(make_app, users, samples, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_COUNTED", 3)
    app = make_app()
    app.test_client().get("/health")  # makes the index
    now = clock.utcnow()
    email = app.extensions["services"].outbox.compose("verify_email", "ada@example.com", now)
    for minutes in (1, 5, 20, 3, 2, 4):
        waiting = [email | {"due_at": now - timedelta(minutes=minutes)}]
        users.insert_one({"_id": str(minutes), "email": f"{minutes}@example.com", "letters": waiting})
    found = samples(app.test_client())
    assert found["pixora_outbox_oldest_seconds"] == pytest.approx(1200, abs=10)
    assert found['pixora_outbox_letters{state="new"}'] == 3


def of_outbox(command):
    return command.command_name == "aggregate" and "letters" in str(command.command["pipeline"])


def test_several_scrapes_query_the_outbox_once(make_app, watch_commands):
    client = make_app().test_client()
    client.get("/health")
    with watch_commands() as commands:
        for _ in range(5):
            client.get("/metrics")
    assert len([command for command in commands if of_outbox(command)]) == 1


def test_the_query_of_the_outbox_uses_the_index(make_app, watch_commands, mongo):
    client = make_app().test_client()
    client.get("/health")
    with watch_commands() as commands:
        client.get("/metrics")
    [sent] = [command.command for command in commands if of_outbox(command)]
    plan = mongo.get_default_database().command(
        "explain", {"aggregate": "users", "pipeline": sent["pipeline"], "cursor": {}}, verbosity="queryPlanner"
    )
    assert "letters.due_at_1" in str(plan)
    assert "COLLSCAN" not in str(plan)


def test_metrics_are_answered_without_the_database(make_app, samples):
    app = make_app(MONGO_URI="mongodb://127.0.0.1:1/pixora", DATABASE_TIMEOUT_MS=300)
    began = time.monotonic()
    found = samples(app.test_client())
    assert time.monotonic() - began < SOON
    assert "pixora_outbox_oldest_seconds" not in found
    assert 'pixora_outbox_letters{state="new"}' not in found
    assert "pixora_hashing_queue" in found


def test_outdated_figures_of_the_outbox_are_not_shown_without_the_database(make_app, samples):
    app = make_app(MONGO_URI="mongodb://127.0.0.1:1/pixora", DATABASE_TIMEOUT_MS=300)
    app.extensions["services"].metrics._backlog._result = Backlog(None, 7, 0)
    assert 'pixora_outbox_letters{state="new"}' not in samples(app.test_client())


def test_every_metric_has_the_prefix_and_a_help_text():
    for metric in metrics.REGISTRY.collect():
        assert metric.name.startswith("pixora_")
        assert re.fullmatch(r"[A-Z].*\.", metric.documentation)


def test_metrics_have_no_personal_data(client, account):
    log_in(client, account.email)
    text = client.get("/metrics").text
    assert account.email not in text
    assert account.id not in text
