"""Sessions and keys as several workers share them, and other services verifying our tokens."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from mongod import free_port

from tests.factories import PASSWORD, signup_body
from tests.timeouts import LONG

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 3


def call(url, body=None, token=None, media_type="application/x-www-form-urlencoded"):
    """Make a request on a connection of its own; return the status and the decoded body."""
    headers = {"Content-Type": media_type} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=LONG) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def form(**fields):
    return urllib.parse.urlencode(fields).encode()


def keys(directory, *arguments):
    environment = {"PATH": os.environ["PATH"], "PIXORA_ENV": "testing", "JWT_KEY_DIR": str(directory)}
    environment |= {"MONGO_URI": "mongodb://127.0.0.1:1/unused", "SECRET_KEY": "unused"}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "keys", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def key_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    keys(directory, "generate")
    return directory


@pytest.fixture(scope="module")
def url(gunicorn, key_dir):
    """Several workers that sign with a key pair; Ada has signed up."""
    settings = {"JWT_SECRET_KEY": "", "JWT_KEY_DIR": str(key_dir), "MAX_SESSIONS_PER_USER": "1000"}
    with gunicorn(WEB_CONCURRENCY=str(WORKERS), **settings) as url:
        body = json.dumps(signup_body()).encode()
        assert call(url + "/api/auth/signup", body, media_type="application/json")[0] == 201
        yield url


def log_in(url):
    status, grant = call(url + "/api/auth/login", form(username="ada@example.com", password=PASSWORD))
    assert status == 200
    return grant


def statuses_of_every_worker(url, token):
    """Ask often enough, and at once, for every worker to have answered."""
    with ThreadPoolExecutor(16) as pool:
        return {status for status, _ in pool.map(lambda _: call(url + "/api/users/me", token=token), range(64))}


def test_a_logout_is_seen_by_every_worker_on_the_next_request(url):
    token = log_in(url)["access_token"]
    assert statuses_of_every_worker(url, token) == {200}
    assert call(url + "/api/auth/logout", b"", token) == (204, None)
    assert statuses_of_every_worker(url, token) == {401}


def test_reuse_after_the_grace_ends_the_session_in_every_worker(gunicorn, key_dir):
    with gunicorn(JWT_SECRET_KEY="", JWT_KEY_DIR=str(key_dir), WEB_CONCURRENCY="2", REFRESH_GRACE_SECONDS="1") as url:
        call(url + "/api/auth/signup", json.dumps(signup_body()).encode(), media_type="application/json")
        first = log_in(url)
        fields = form(grant_type="refresh_token", refresh_token=first["refresh_token"])
        second = call(url + "/api/auth/refresh", fields)[1]
        assert statuses_of_every_worker(url, second["access_token"]) == {200}
        time.sleep(1.1)
        assert call(url + "/api/auth/refresh", fields)[0] == 401
        assert statuses_of_every_worker(url, second["access_token"]) == {401}


def test_parallel_refreshes_over_several_workers_get_one_successor(url):
    fields = form(grant_type="refresh_token", refresh_token=log_in(url)["refresh_token"])
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: call(url + "/api/auth/refresh", fields), range(50)))
    assert {status for status, _ in answers} == {200}
    assert len({grant["refresh_token"] for _, grant in answers}) == 1


def test_keys_rotate_without_a_restart_and_without_signing_anyone_out(url, key_dir):
    before = log_in(url)
    old = jwt.get_unverified_header(before["access_token"])["kid"]
    new = keys(key_dir, "generate", "--algorithm", "EdDSA").split()[0]
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        seen = {jwt.get_unverified_header(log_in(url)["access_token"])["kid"] for _ in range(2 * WORKERS)}
        if seen == {new}:
            break
        time.sleep(0.2)
    assert seen == {new}
    assert statuses_of_every_worker(url, before["access_token"]) == {200}

    keys(key_dir, "retire", old)
    while time.monotonic() < deadline and statuses_of_every_worker(url, before["access_token"]) != {401}:
        time.sleep(0.2)
    assert statuses_of_every_worker(url, before["access_token"]) == {401}
    fields = form(grant_type="refresh_token", refresh_token=before["refresh_token"])
    status, renewed = call(url + "/api/auth/refresh", fields)
    assert status == 200
    assert statuses_of_every_worker(url, renewed["access_token"]) == {200}


@contextlib.contextmanager
def running(command, folder, port, **environment):
    process = subprocess.Popen(command, cwd=folder, env={"PATH": os.environ["PATH"]} | environment)
    try:
        for _ in range(200):
            with contextlib.suppress(urllib.error.URLError):
                call(f"http://127.0.0.1:{port}/hello")
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/hello"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture(params=["python", "node"])
def other_service(request, url, tmp_path):
    """One of the examples, running."""
    folder = tmp_path / request.param
    shutil.copytree(ROOT / "examples" / request.param, folder, ignore=shutil.ignore_patterns("node_modules"))
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "app", "run", "--port", str(port)]
    if request.param == "node":
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
        command = ["node", "server.mjs"]
    with running(command, folder, port, PIXORA_URL=url, PIXORA_ISSUER="pixora", PORT=str(port)) as where:
        yield where


def test_another_service_verifies_a_token_from_the_published_keys(other_service, url):
    token = log_in(url)["access_token"]
    status, answer = call(other_service, token=token)
    assert status == 200
    assert answer == {"user": jwt.decode(token, options={"verify_signature": False})["sub"]}


@pytest.mark.parametrize("forge", ["nothing", "garbage", "changed", "secret"])
def test_another_service_refuses_what_we_have_not_signed(other_service, url, forge):
    good = log_in(url)["access_token"]
    head, claims, signature = good.split(".")
    token = {
        "nothing": None,
        "garbage": "x.y.z",
        "changed": f"{head}.{claims[:-4]}AAAA.{signature}",
        "secret": jwt.encode(jwt.decode(good, options={"verify_signature": False}), "x" * 32, headers={"kid": "x"}),
    }[forge]
    assert call(other_service, token=token)[0] == 401
