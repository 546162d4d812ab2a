"""`POST /api/auth/introspect` (RFC 7662), for services with a key."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest

from pixora.oauth.errors import InvalidServiceKey
from tests.factories import PASSWORD, SERVICE, SERVICE_KEY, SERVICE_KEYS
from tests.oauth.conftest import assert_error, basic

INACTIVE = {"active": False}


@pytest.fixture
def introspect(post):
    return lambda token, headers=None, **form: post(
        "introspect", headers or basic(SERVICE, SERVICE_KEY), token=token, **form
    )


def test_an_access_token_is_answered_with_its_claims(introspect, account):
    response = introspect(account.token, token_type_hint="access_token")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    claims = jwt.decode(account.token, options={"verify_signature": False})
    same = ("iss", "aud", "sub", "sid", "jti", "iat", "exp", "client_id", "roles")
    assert {name: response.json[name] for name in same} == {name: claims[name] for name in same}
    assert response.json["active"] is True
    assert response.json["token_type"] == "Bearer"


def test_the_claims_of_the_user_are_the_current_ones(make_app, account, users):
    client = make_app(TOKEN_CLAIMS=["roles", "email", "email_verified", "app_metadata.plan"]).test_client()
    metadata = {"plan": "pro", "seats": 5}
    change = {"roles": ["user", "admin"], "email_verified": True, "app_metadata": metadata}
    users.update_one({"_id": account.id}, {"$set": change})
    headers = basic(SERVICE, SERVICE_KEY)
    found = client.post("/api/auth/introspect", data={"token": account.token}, headers=headers).json
    assert (found["roles"], found["email"], found["email_verified"]) == (["user", "admin"], account.email, True)
    assert found["plan"] == "pro"
    assert "seats" not in found


def test_an_introspection_reads_the_database_once_and_counts_once(introspect, account, watch_commands):
    introspect(account.token)
    with watch_commands() as commands:
        introspect(account.token)
    assert [command.command_name for command in commands] == ["update", "find"]


@pytest.mark.parametrize(
    "end",
    [
        lambda client, account, users: client.post("/api/auth/revoke", data={"token": account.refresh_token}),
        lambda client, account, users: client.post("/api/auth/logout", headers=account.bearer),
        lambda client, account, users: users.update_one({"_id": account.id}, {"$set": {"disabled": True}}),
        lambda client, account, users: users.delete_one({"_id": account.id}),
    ],
    ids=["revoked", "logged out", "disabled", "deleted"],
)
def test_a_token_whose_session_or_user_has_ended_is_inactive_at_once(client, introspect, account, users, end):
    assert introspect(account.token).json["active"] is True
    end(client, account, users)
    assert introspect(account.token).json == INACTIVE


def test_an_expired_token_is_inactive(introspect, account, move_clock):
    assert introspect(account.token).json["active"] is True
    move_clock(minutes=15)
    assert introspect(account.token).json == INACTIVE


def test_a_refresh_token_is_inactive_because_it_is_no_access_token(introspect, account):
    assert introspect(account.refresh_token, token_type_hint="refresh_token").json == INACTIVE


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "€", "x" * 16000, "\u00e9" * 2500, "null"], ids="abcdef")
def test_garbage_is_inactive_and_not_looked_up(introspect, token, watch_commands):
    with watch_commands() as commands:
        response = introspect(token)
    assert (response.status_code, response.json) == (200, INACTIVE)
    assert [command.command_name for command in commands] == ["update"]  # the throttle


def test_a_forged_token_is_inactive(introspect, account):
    head, claims, signature = account.token.split(".")
    assert introspect(f"{head}.{claims}.{signature[::-1]}").json == INACTIVE


@pytest.mark.parametrize("token", [None, "", ["a", "b"], "\0"], ids=["missing", "empty", "repeated", "NUL"])
def test_without_one_token_the_request_is_invalid(introspect, token):
    assert_error(introspect(token, extra="ignored"), "invalid_request")


def test_json_is_the_wrong_media_type(client, account):
    headers = basic(SERVICE, SERVICE_KEY)
    response = client.post("/api/auth/introspect", json={"token": account.token}, headers=headers)
    assert_error(response, "invalid_request", 415)


class TestServiceKeys:
    @pytest.mark.parametrize(
        "header",
        [
            {"Authorization": ""},
            basic(SERVICE),
            basic(SERVICE, "wrong"),
            basic(SERVICE, SERVICE_KEY[:-1]),
            basic(SERVICE, SERVICE_KEY.upper()),
            basic(SERVICE, SERVICE_KEYS.partition(":")[2]),
            basic("other", SERVICE_KEY),
            basic("", SERVICE_KEY),
            basic("ördérs", "é"),
            {"Authorization": "Basic !"},
            {"Authorization": f"Bearer {SERVICE_KEY}"},
        ],
        ids=[
            "none",
            "empty",
            "wrong",
            "cut",
            "in capitals",
            "the hash",
            "other",
            "no name",
            "umlauts",
            "malformed",
            "Bearer",
        ],
    )
    def test_without_the_right_key_a_caller_learns_nothing(self, introspect, account, watch_commands, header):
        with watch_commands() as commands:
            response = introspect(account.token, header)
        assert_error(response, "invalid_client", 401)
        assert response.headers["WWW-Authenticate"] == 'Basic realm="pixora"'
        assert response.json["error_description"] == InvalidServiceKey.detail
        assert {command.command["update"] for command in commands} <= {"throttles"}

    def test_the_owner_of_a_token_may_not_introspect_it(self, introspect, account):
        assert_error(introspect(account.token, account.bearer), "invalid_client", 401)

    def test_the_key_is_checked_before_the_form(self, client):
        assert_error(client.post("/api/auth/introspect", json=[]), "invalid_client", 401)

    def test_while_a_key_is_replaced_both_are_accepted_and_then_the_retired_one_is_refused(self, make_app, account):
        new = hashlib.sha256(b"new").hexdigest()
        old = SERVICE_KEYS.partition(":")[2]
        form = {"token": account.token}

        def statuses(*hashes):
            client = make_app(SERVICE_KEYS=[(SERVICE, each) for each in hashes]).test_client()
            return [
                client.post("/api/auth/introspect", data=form, headers=basic(SERVICE, key)).status_code
                for key in (SERVICE_KEY, "new")
            ]

        assert statuses(old, new) == [200, 200]
        assert statuses(new) == [401, 200]

    def test_a_refusal_is_logged_without_the_key(self, introspect, account, capture_logs):
        with capture_logs() as lines:
            introspect(account.token, basic(SERVICE, "hush-hush"))
        assert [line["event"] for line in lines if line["level"] == "WARNING"] == ["service_refused"]
        assert "hush-hush" not in str(lines)

    def test_a_key_is_no_client_authentication_at_the_token_endpoint(self, account, password_grant):
        assert_error(password_grant(basic(SERVICE, SERVICE_KEY)), "invalid_client", 401)


def test_each_service_has_a_limit_of_its_own(make_app, account, counts):
    keys = [(name, hashlib.sha256(name.encode()).hexdigest()) for name in ("orders", "billing")]
    client = make_app(SERVICE_KEYS=keys, THROTTLE_INTROSPECTION_PER_SERVICE="2 per minute").test_client()

    def introspect(name, key=None):
        headers = basic(name, key or name)
        return client.post("/api/auth/introspect", data={"token": account.token}, headers=headers)

    assert [introspect("orders").status_code for _ in range(2)] == [200, 200]
    refused = introspect("orders")
    assert_error(refused, "rate_limited", 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert introspect("billing").status_code == 200


class TestWrongKeys:
    NAMES = "orders", "billing"

    @pytest.fixture
    def two_services(self, make_app, account, counts):
        keys = [(name, hashlib.sha256(name.encode()).hexdigest()) for name in self.NAMES]
        return make_app(SERVICE_KEYS=keys, THROTTLE_SERVICE_KEY_PER_IP="3 per day", PROXY_COUNT=1)

    @pytest.fixture
    def network_counter(self, two_services):
        throttles = two_services.extensions["services"].throttles
        (bucket,) = throttles.by_network("THROTTLE_SERVICE_KEY_PER_IP", "203.0.113.7")
        return bucket.key

    @pytest.fixture
    def status(self, two_services, account):
        """The answer to a service with a key, three wrong ones a day being allowed; the right one is its name."""

        def status(name, key=None, ip="203.0.113.7"):
            headers = basic(name, key or name) | {"X-Forwarded-For": ip}
            form = {"token": account.token}
            return two_services.test_client().post("/api/auth/introspect", data=form, headers=headers)

        return status

    def test_after_the_limit_no_key_of_this_service_is_accepted_from_this_network(self, status):
        assert [status("orders", "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]
        refused = status("orders")
        assert_error(refused, "rate_limited", 429)
        assert 86000 < int(refused.headers["Retry-After"]) <= 86400

    def test_other_networks_and_other_services_go_on(self, status):
        assert [status("orders", "wrong").status_code for _ in range(5)] == [401] * 3 + [429] * 2
        assert status("orders", ip="203.0.113.8").status_code == 200
        assert status("billing").status_code == 200

    def test_right_keys_are_never_counted_as_wrong_ones(self, status):
        assert [status("orders").status_code for _ in range(5)] == [200] * 5
        assert [status("orders", "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]

    def test_invented_names_share_their_counters_and_stop_no_service(self, status, counts):
        assert [status(f"invented {number}").status_code for number in range(5)] == [401] * 3 + [429] * 2
        assert counts.count_documents({}) == 2
        assert status("orders").status_code == 200

    @pytest.mark.parametrize("first", ["orders", "invented"])
    def test_the_answers_do_not_tell_which_services_exist(self, status, counts, network_counter, first):
        def answers():
            return [(answer.status_code, answer.json) for answer in (status(name, "wrong") for name in names)]

        names = first, "orders", "billing", "invented", "orders", "invented"
        assert [code for code, _ in answers()] == [401] * 3 + [429] * 3
        assert len({str(body) for code, body in answers() if code == 429}) == 1
        # Its window ends before those of the services.
        assert counts.delete_one({"_id": network_counter}).deleted_count == 1
        assert [code for code, _ in answers()] == [401] * 3 + [429] * 3

    def test_guesses_that_are_refused_are_counted_for_their_service(self, status):
        assert [status("invented").status_code for _ in range(3)] == [401] * 3
        assert [status("orders", "wrong").status_code for _ in range(2)] == [429] * 2
        assert status("orders").status_code == 200
        assert status("orders", "wrong").status_code == 429
        assert status("orders").status_code == 429
        assert status("billing").status_code == 200

    def test_one_ipv6_network_does_not_stop_a_service_in_those_around_it(self, status):
        tried = [status("orders", "wrong", "2001:db8:1:1::7").status_code for _ in range(20)]
        assert tried == [401] * 3 + [429] * 17
        assert status("orders", ip="2001:db8:1:2::7").status_code == 200

    def test_a_customer_with_many_ipv6_networks_has_five_times_as_many(self, status):
        tried = [status("orders", "wrong", f"2001:db8:1:{number:x}::7").status_code for number in range(16)]
        assert tried == [401] * 15 + [429]
        assert status("orders", ip="2001:db8:1:ff::7").status_code == 429
        assert status("orders", ip="2001:db8:2::7").status_code == 200

    def test_parallel_guesses_do_not_exceed_the_limit(self, status):
        with ThreadPoolExecutor(20) as pool:
            tried = Counter(pool.map(lambda number: status("orders", f"wrong {number}").status_code, range(20)))
        assert tried == {401: 3, 429: 17}

    @pytest.mark.parametrize("header", [{}, {"Authorization": "Basic !"}, {"Authorization": "Bearer x"}], ids=str)
    def test_a_request_without_a_key_is_no_guess(self, introspect, counts, header):
        assert_error(introspect("x", header or {"Authorization": ""}), "invalid_client", 401)
        assert counts.count_documents({}) == 0

    def test_a_refusal_of_a_busy_service_counts_nothing_as_a_wrong_key(self, make_app, account, counts):
        names = "THROTTLE_INTROSPECTION_PER_SERVICE", "THROTTLE_SERVICE_KEY_PER_IP"
        client = make_app(**dict.fromkeys(names, "1 per day")).test_client()

        def status(key):
            form = {"token": account.token}
            return client.post("/api/auth/introspect", data=form, headers=basic(SERVICE, key)).status_code

        assert [status(SERVICE_KEY) for _ in range(3)] == [200, 429, 429]
        assert [status("wrong") for _ in range(2)] == [401, 429]


@pytest.mark.parametrize("key", [SERVICE_KEY, "wrong"])
def test_without_the_database_there_is_no_verdict(make_app, account, key):
    client = make_app(MONGO_URI="mongodb://127.0.0.1:1/none", DATABASE_TIMEOUT_MS=100).test_client()
    response = client.post("/api/auth/introspect", data={"token": account.token}, headers=basic(SERVICE, key))
    assert_error(response, "temporarily_unavailable", 503)


def test_without_service_keys_there_is_no_endpoint_and_nothing_names_it(make_app):
    client = make_app(SERVICE_KEYS=[]).test_client()
    assert client.post("/api/auth/introspect").status_code == 404
    assert not [name for name in client.get("/.well-known/oauth-authorization-server").json if "introspection" in name]


def test_with_service_keys_the_metadata_names_the_endpoint(client):
    metadata = client.get("/.well-known/oauth-authorization-server").json
    assert metadata["introspection_endpoint"] == "http://localhost/api/auth/introspect"
    assert metadata["introspection_endpoint_auth_methods_supported"] == ["client_secret_basic"]


def test_a_token_of_an_earlier_version_is_answered(introspect, account, settings):
    claims = jwt.decode(account.token, options={"verify_signature": False})
    header = jwt.get_unverified_header(account.token)
    older = {name: value for name, value in claims.items() if name not in ("client_id", "roles")}
    token = jwt.encode(older, settings.jwt_secret_key, headers={"kid": header["kid"]})
    assert introspect(token).json["client_id"] == "first-party"


def test_the_password_of_a_user_opens_nothing(introspect, account):
    assert_error(introspect(account.token, basic(account.email, PASSWORD)), "invalid_client", 401)
