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
from operator import itemgetter
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from pixora.factors.encryption import encrypt
from tests import ROOT
from tests.conftest import make_account
from tests.factories import PASSWORD, fastapi_user, log_in
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
def users(mongo, name):
    """The users of the service; there are none at the start of a test."""
    users = mongo[f"{mongo.get_default_database().name}_{name}"]["users"]
    users.delete_many({})
    return users


@pytest.fixture
def stored(users):
    """Return the document of the only user."""
    return users.find_one


@pytest.fixture(scope="module")
def service(run):
    with run() as url:
        yield Client(url)


def enrol(client, code_of, email=EMAIL, read=itemgetter("uri")):
    """Sign up, and set up the app that `code_of` stands for: it gets what the app reads, and seconds from now."""
    account = make_account(client, email=email)
    uri = read(client.post(f"{FACTORS}/totp", headers=account.bearer).json)
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
def node(tmp_path):
    """Run a program of the folder `authenticator`, and return what it prints."""
    folder = tmp_path / "authenticator"
    shutil.copytree(AUTHENTICATOR, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(packages.node_modules(AUTHENTICATOR / "package-lock.json"))

    def node(*command, given=None):
        options = {"input": given, "capture_output": True, "text": True, "check": True}
        return subprocess.run(["node", *command], cwd=folder, **options).stdout.strip()

    return node


def challenge(client, email=EMAIL):
    answer = log_in(client, email)
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
def test_a_real_authenticator_enrols_by_the_text_that_a_reader_finds_in_the_qr_code_and_logs_in(
    service, node, authenticator
):
    def by_otplib(uri, seconds):
        return node("code.mjs", uri, str(seconds))

    code_of = by_oathtool if authenticator == "oathtool" else by_otplib
    uri, _ = enrol(service, code_of, read=lambda new: node("read.mjs", given=new["qr_svg"]))
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


@pytest.fixture
def rotate(mongo_uri, name):
    """Run the command that encrypts all secrets under the first key; return what it prints."""

    def rotate(**settings):
        environment = {"PIXORA_ENV": "testing", "MONGO_URI": mongo_uri.replace("?", f"_{name}?")} | settings
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "keys", "data", "rotate"]
        options = {"capture_output": True, "text": True, "check": True}
        return subprocess.run(command, cwd=ROOT, env=os.environ | environment, **options).stdout

    return rotate


def test_data_keys_are_rotated_under_load_without_losing_a_login(run, users, rotate):
    old, new = new_key(), new_key()
    both = {
        "DATA_KEYS": f"{new},{old}",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": secrets.token_hex(32),
    }
    app = pyotp.TOTP(pyotp.random_base32())
    people = [fastapi_user(email=f"user{number}@example.com") for number in range(1_000)]
    for user in people:
        secret, key = encrypt([old], user["_id"], app.byte_secret())
        totp = {"id": user["_id"], "secret": secret, "key": key, "last_step": 0, "created_at": user["created_at"]}
        user["factors"] = {"totp": totp}

    def log_in_next(url):
        fields = {"username": people.pop()["email"], "password": PASSWORD, "otp": app.now()}
        return Client(url).post("/api/auth/login", data=fields).status_code

    def log_in_until(ended, url):
        statuses = [log_in_next(url)]
        while not ended.is_set() and len(people) > TIMES:
            statuses.append(log_in_next(url))
        return statuses

    with run(**both) as url, ThreadPoolExecutor(2) as pool:
        users.insert_many(people)
        ended = threading.Event()
        logins = [pool.submit(log_in_until, ended, url) for _ in range(2)]
        output = rotate(**both)
        ended.set()
        statuses = [status for login in logins for status in login.result()]
        assert re.fullmatch("Encrypted 1,000 secrets under the key [0-9a-f]{8}.\n", output)
        assert set(statuses) == {200}
        assert len(statuses) > 10  # there was a load
        assert log_in_next(url) == 200
    with run(**both | {"DATA_KEYS": new}) as url:
        assert [log_in_next(url) for _ in range(5)] == [200] * 5
