"""The second factor on several workers, with the codes of real authenticators, while keys change."""

import base64
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from tests import ROOT
from tests.conftest import make_account
from tests.factories import PASSWORD, log_in
from tests.system.client import Client
from tests.system.clients import packages

EMAIL = "ada@example.com"
FACTORS = "/api/users/me/factors"
AUTHENTICATOR = ROOT / "tests/system/authenticator"
TIMES = 50


def new_key():
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(scope="module")
def name():
    return f"second_factor_{os.getpid()}_{time.monotonic_ns()}"


@pytest.fixture(scope="module")
def run(gunicorn, mongo, mongo_uri, name):
    """Run three workers on one database; the settings are given by keyword."""
    uri = mongo_uri.replace("?", f"_{name}?")
    yield lambda **settings: gunicorn(
        **{"WEB_CONCURRENCY": "3", "GUNICORN_THREADS": "64", "MONGO_URI": uri, "DATA_KEYS": new_key()} | settings
    )
    mongo.drop_database(f"{mongo.get_default_database().name}_{name}")


@pytest.fixture(autouse=True)
def stored(mongo, name):
    """Return the document of the only user; there is none at the start of a test."""
    users = mongo[f"{mongo.get_default_database().name}_{name}"]["users"]
    users.delete_many({})
    return users.find_one


@pytest.fixture(scope="module")
def service(run):
    with run() as url:
        yield Client(url)


def enrol(client, code_of):
    """Sign up, and set up the app that `code_of` stands for: it gets the text of the QR code, and seconds from now."""
    account = make_account(client)
    uri = client.post(f"{FACTORS}/totp", headers=account.bearer).json["uri"]
    body = {"code": code_of(uri, 0)}
    confirmed = client.post(f"{FACTORS}/totp/confirm", json=body, headers=account.bearer)
    assert confirmed.status_code == 200, confirmed.text
    return uri, confirmed.json["recovery_codes"]


def by_pyotp(uri, seconds):
    return pyotp.parse_uri(uri).at(time.time() + seconds)


def by_oathtool(uri, seconds):
    [secret] = parse_qs(urlsplit(uri).query)["secret"]
    command = ["oathtool", "--totp", "--base32", "--now", f"{seconds} seconds", secret]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def by_otplib(tmp_path):
    folder = tmp_path / "authenticator"
    shutil.copytree(AUTHENTICATOR, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(packages.node_modules(AUTHENTICATOR / "package-lock.json"))

    def code_of(uri, seconds):
        command = ["node", "code.mjs", uri, str(seconds)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    return code_of


def challenge(client):
    answer = log_in(client, EMAIL)
    assert answer.status_code == 403, answer.text
    return answer.json["mfa_token"]


def send_code(client, token, **code):
    return client.post("/api/auth/mfa", data={"mfa_token": token, **code}).status_code


def at_once(times, function, *arguments, **options):
    with ThreadPoolExecutor(times) as pool:
        return Counter(pool.map(lambda _: function(*arguments, **options), range(times)))


def test_of_50_logins_at_once_with_one_code_one_gets_a_session(service, stored):
    uri, _ = enrol(service, by_pyotp)
    token, code, before = challenge(service), by_pyotp(uri, 30), len(stored()["sessions"])
    assert at_once(TIMES, send_code, service, token, code=code) == {200: 1, 401: TIMES - 1}
    assert len(stored()["sessions"]) == before + 1
    for _ in range(3):  # in new challenges, on whichever workers
        assert send_code(service, challenge(service), code=code) == 401
    assert len(stored()["sessions"]) == before + 1


def test_of_50_logins_at_once_with_password_and_code_one_gets_a_session(service, stored):
    uri, _ = enrol(service, by_pyotp)
    fields = {"username": EMAIL, "password": PASSWORD, "otp": by_pyotp(uri, 30)}
    statuses = at_once(TIMES, lambda: service.post("/api/auth/login", data=fields).status_code)
    assert statuses == {200: 1, 401: TIMES - 1}


def test_of_50_uses_at_once_of_one_recovery_code_one_gets_a_session_and_nine_are_left(service, stored):
    _, codes = enrol(service, by_pyotp)
    token, before = challenge(service), len(stored()["sessions"])
    assert at_once(TIMES, send_code, service, token, recovery_code=codes[0]) == {200: 1, 401: TIMES - 1}
    assert len(stored()["sessions"]) == before + 1
    assert len(stored()["factors"]["recovery_codes"]["hashes"]) == 9


def test_ten_recovery_codes_at_once_are_ten_sessions(service, stored):
    _, codes = enrol(service, by_pyotp)
    token, before = challenge(service), len(stored()["sessions"])
    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda code: send_code(service, token, recovery_code=code), codes))
    assert statuses == [200] * 10
    assert len(stored()["sessions"]) == before + 10
    assert stored()["factors"]["recovery_codes"]["hashes"] == []


def test_with_the_default_limits_too_one_of_many_at_once_gets_a_session(run):
    limits = {
        "THROTTLE_SECOND_FACTOR_PER_ACCOUNT_AND_IP": "5 per 15 minute",
        "THROTTLE_SECOND_FACTOR_PER_ACCOUNT": "30 per day",
    }
    with run(**limits) as url:
        service = Client(url)
        uri, _ = enrol(service, by_pyotp)
        statuses = at_once(TIMES, send_code, service, challenge(service), code=by_pyotp(uri, 30))
    assert statuses[200] == 1
    assert statuses[401] <= 5
    assert statuses.keys() <= {200, 401, 429}


@pytest.mark.parametrize("authenticator", ["oathtool", "otplib"])
def test_a_real_authenticator_enrols_and_logs_in_by_the_text_of_the_qr_code(service, authenticator, request):
    code_of = by_oathtool if authenticator == "oathtool" else request.getfixturevalue("by_otplib")
    uri, _ = enrol(service, code_of)
    assert send_code(service, challenge(service), code=code_of(uri, 30)) == 200


def test_a_new_secret_key_ends_the_sessions_and_every_factor_works(run):
    keys = {"DATA_KEYS": new_key(), "JWT_SECRET_KEY": secrets.token_urlsafe(48)}
    with run(**keys) as url:
        uri, codes = enrol(Client(url), by_pyotp)
        grant = (
            Client(url)
            .post("/api/auth/mfa", data={"mfa_token": challenge(Client(url)), "recovery_code": codes[0]})
            .json
        )
    with run(**keys) as url:  # with another SECRET_KEY, as each gunicorn of the tests has
        client = Client(url)
        fields = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
        assert client.post("/api/auth/refresh", data=fields).status_code == 401
        assert send_code(client, challenge(client), code=by_pyotp(uri, 30)) == 200
        assert send_code(client, challenge(client), recovery_code=codes[1]) == 200


def test_data_keys_are_rotated_under_load_without_losing_a_login(run, stored, mongo_uri, name):
    old, new = new_key(), new_key()
    settings = {"SECRET_KEY": secrets.token_urlsafe(48), "JWT_SECRET_KEY": secrets.token_urlsafe(48)}
    with run(DATA_KEYS=old, **settings) as url:
        uri, _ = enrol(Client(url), by_pyotp)
    before = stored()["factors"]["totp"]["key"]
    with run(DATA_KEYS=f"{new},{old}", **settings) as url:
        client, wrong, ended = Client(url), Counter(), threading.Event()

        def refuse_codes():
            while not ended.is_set():  # each is decrypted, and none is right
                wrong[send_code(client, challenge(client), code="000000")] += 1

        with ThreadPoolExecutor(4) as pool:
            tasks = [pool.submit(refuse_codes) for _ in range(4)]
            environment = {"PIXORA_ENV": "testing", "MONGO_URI": mongo_uri.replace("?", f"_{name}?")}
            command = [sys.executable, "-m", "flask", "--app", "wsgi", "keys", "data", "rotate"]
            output = subprocess.run(
                command,
                cwd=ROOT,
                env=os.environ | environment | settings | {"DATA_KEYS": f"{new},{old}"},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            ended.set()
            for task in tasks:
                task.result()
        assert re.fullmatch("Encrypted 1 secrets under the key [0-9a-f]{8}.\n", output)
        assert wrong.keys() == {401}
        assert stored()["factors"]["totp"]["key"] != before
        assert send_code(client, challenge(client), code=by_pyotp(uri, 30)) == 200
    with run(DATA_KEYS=new, **settings) as url:
        fields = {"username": EMAIL, "password": PASSWORD, "otp": by_pyotp(uri, 30)}
        assert Client(url).post("/api/auth/login", data=fields).status_code in (
            200,
            401,
        )  # 401 if the step has not changed since; never 503
