"""Passkeys on several workers, which share nothing but the database."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from pixora.accounts.passkeys import MAX_CHALLENGES
from tests.conftest import make_account
from tests.passkeys.authenticator import ORIGIN, RP_ID, Authenticator
from tests.passkeys.conftest import LOGIN, OWN
from tests.system.client import Client

TIMES = 50
SETTINGS = {"WEBAUTHN_RP_ID": RP_ID, "WEBAUTHN_ORIGINS": ORIGIN, "WEB_CONCURRENCY": "3", "GUNICORN_THREADS": "64"}


@pytest.fixture(scope="module")
def client(gunicorn):
    with gunicorn(**SETTINGS) as url:
        yield Client(url)


def at_once(send):
    """Do the same many times at once; count the answers by status."""
    with ThreadPoolExecutor(TIMES) as pool:
        return Counter(pool.map(lambda _: send().status_code, range(TIMES)))


def test_a_registration_and_a_login_sent_50_times_at_once_and_again_later_count_once(client):
    account, authenticator = make_account(client), Authenticator()
    options = client.post(f"{OWN}/options", headers=account.bearer).json
    new = {"credential": authenticator.create(options)}
    counts = at_once(lambda: client.post(OWN, json=new, headers=account.bearer))
    assert counts[201] == 1
    # Of the others, some find the credential, some the used challenge, and some that the account has two factors now.
    assert set(counts) <= {201, 401, 409, 422}
    assert len(client.get(OWN, headers=account.bearer).json) == 1

    captured = {"credential": authenticator.get(client.post(f"{LOGIN}/options").json)}
    assert at_once(lambda: client.post(f"{LOGIN}/login", json=captured)) == {200: 1, 401: TIMES - 1}
    later = client.post(f"{LOGIN}/login", json=captured)
    assert (later.status_code, later.json["code"]) == (401, "invalid_passkey")
    assert len(client.get("/api/users/me/sessions", headers=account.bearer).json) == 2  # with the one by password


def test_parallel_logins_use_no_more_challenges_than_a_user_may(client):
    account, authenticator = make_account(client, email="mary@example.com"), Authenticator()
    options = client.post(f"{OWN}/options", headers=account.bearer).json
    new = {"credential": authenticator.create(options)}
    assert client.post(OWN, json=new, headers=account.bearer).status_code == 201

    def log_in(credential):
        return client.post(f"{LOGIN}/login", json={"credential": credential}).status_code

    def logins(times):
        """Log in many times at once, each time with a challenge of its own; count the answers by status."""
        credentials = [authenticator.get(client.post(f"{LOGIN}/options").json) for _ in range(times)]
        with ThreadPoolExecutor(times) as pool:
            return Counter(pool.map(log_in, credentials))

    left = 5
    assert logins(MAX_CHALLENGES - left - 1) == {200: MAX_CHALLENGES - left - 1}  # the registration has used one too
    assert logins(TIMES) == {200: left, 429: TIMES - left}


def test_of_a_credential_registered_by_two_users_at_once_one_has_it(client):
    accounts = [make_account(client, email=f"{name}@example.com") for name in ("grace", "hedy")]
    authenticator = Authenticator()
    requests = []
    for account in accounts:
        options = client.post(f"{OWN}/options", headers=account.bearer).json
        requests.append((account, {"credential": authenticator.create(options)}))
    with ThreadPoolExecutor(2) as pool:
        sent = pool.map(lambda one: client.post(OWN, json=one[1], headers=one[0].bearer).status_code, requests)
    assert sorted(sent) == [201, 409]
