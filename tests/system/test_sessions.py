"""Sessions and keys as several workers share them, and other services verifying our tokens."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import jwt
import pytest
from mongod import free_port

from tests import ROOT
from tests.factories import log_in, sign_up
from tests.system.client import Client
from tests.system.clients import packages
from tests.timeouts import LONG, wait_until

WORKERS = 3


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
        assert sign_up(Client(url)).status_code == 201
        yield url


@pytest.fixture
def client(url):
    return Client(url)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def refresh(client, grant):
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    return client.post("/api/auth/refresh", data=form)


def statuses_of_every_worker(client, token):
    """Ask often enough, and at once, for every worker to have answered."""
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: client.get("/api/users/me", headers=bearer(token)), range(64))
        return {answer.status_code for answer in answers}


def test_a_logout_is_seen_by_every_worker_on_the_next_request(client):
    token = log_in(client).json["access_token"]
    assert statuses_of_every_worker(client, token) == {200}
    assert client.post("/api/auth/logout", headers=bearer(token)).status_code == 204
    assert statuses_of_every_worker(client, token) == {401}


def test_reuse_after_the_grace_ends_the_session_in_every_worker(gunicorn, key_dir):
    with gunicorn(JWT_SECRET_KEY="", JWT_KEY_DIR=str(key_dir), WEB_CONCURRENCY="2", REFRESH_GRACE_SECONDS="1") as url:
        client = Client(url)
        sign_up(client)
        first = log_in(client).json
        second = refresh(client, first).json
        assert statuses_of_every_worker(client, second["access_token"]) == {200}
        time.sleep(1.1)
        assert refresh(client, first).status_code == 401
        assert statuses_of_every_worker(client, second["access_token"]) == {401}


def test_parallel_refreshes_over_several_workers_get_one_successor(client):
    grant = log_in(client).json
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: refresh(client, grant), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["refresh_token"] for answer in answers}) == 1


def test_a_session_that_is_revoked_in_the_midst_of_refreshes_never_answers_again(client):
    has_ended = threading.Event()
    grants, late = [log_in(client).json], []

    def refresh_once(_):
        was_revoked = has_ended.is_set()
        answer = refresh(client, grants[-1])
        if answer.status_code == 200:
            grants.append(answer.json)
            late.extend([answer.json] if was_revoked else [])
        return answer.status_code

    def revoke(number):
        token = grants[-1]["access_token" if number % 2 else "refresh_token"]
        status = client.post("/api/auth/revoke", data={"token": token}).status_code
        has_ended.set()
        return status

    with ThreadPoolExecutor(25) as pool:
        before = [pool.submit(refresh_once, number) for number in range(10)]
        next(as_completed(before))  # a revocation may overtake the others
        mixed = [pool.submit(revoke if number % 5 == 4 else refresh_once, number) for number in range(50)]
    assert 200 in {future.result() for future in before}
    assert {future.result() for future in mixed} <= {200, 401}
    assert {future.result() for future in mixed[4::5]} == {200}
    assert late == []
    for grant in {grant["access_token"]: grant for grant in grants}.values():
        assert refresh(client, grant).status_code == 401
        assert client.get("/api/users/me", headers=bearer(grant["access_token"])).status_code == 401


def test_fifty_revocations_at_once_all_succeed_and_are_recorded_once(client):
    grant = log_in(client).json
    form = {"token": grant["refresh_token"]}
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: client.post("/api/auth/revoke", data=form), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert statuses_of_every_worker(client, grant["access_token"]) == {401}
    events = client.get("/api/users/me/events", headers=bearer(log_in(client).json["access_token"])).json["items"]
    session = jwt.decode(grant["access_token"], options={"verify_signature": False})["sid"]
    ended = [event["event"] for event in events if event["details"].get("session_id") == session]
    assert sorted(ended) == ["login", "session_ended"]


def test_keys_rotate_without_a_restart_and_without_signing_anyone_out(client, key_dir):
    before = log_in(client).json
    old = jwt.get_unverified_header(before["access_token"])["kid"]
    new = keys(key_dir, "generate", "--algorithm", "EdDSA").split()[0]

    def key_ids():
        tokens = [log_in(client).json["access_token"] for _ in range(2 * WORKERS)]
        return {jwt.get_unverified_header(token)["kid"] for token in tokens}

    wait_until(lambda: key_ids() == {new})
    assert statuses_of_every_worker(client, before["access_token"]) == {200}

    keys(key_dir, "retire", old)
    wait_until(lambda: statuses_of_every_worker(client, before["access_token"]) == {401})
    renewed = refresh(client, before)
    assert renewed.status_code == 200
    assert statuses_of_every_worker(client, renewed.json["access_token"]) == {200}


@contextlib.contextmanager
def running(command, folder, port, **environment):
    client = Client(f"http://127.0.0.1:{port}")
    process = subprocess.Popen(command, cwd=folder, env={"PATH": os.environ["PATH"]} | environment)
    try:
        wait_until(lambda: is_up(client))
        yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(LONG)


def is_up(client):
    try:
        client.get("/hello")
    except OSError:
        return False
    return True


@pytest.fixture(scope="module", params=["python", "node"])
def other_service(request, url, tmp_path_factory):
    """One of the examples, running."""
    folder = tmp_path_factory.mktemp("example") / request.param
    shutil.copytree(ROOT / "examples" / request.param, folder, ignore=shutil.ignore_patterns("node_modules"))
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "app", "run", "--port", str(port)]
    if request.param == "node":
        (folder / "node_modules").symlink_to(packages.node_modules(folder / "package-lock.json"))
        command = ["node", "server.mjs"]
    with running(command, folder, port, PIXORA_URL=url, PIXORA_ISSUER="pixora", PORT=str(port)) as service:
        yield service


def test_another_service_verifies_a_token_from_the_published_keys(other_service, client):
    token = log_in(client).json["access_token"]
    answer = other_service.get("/hello", headers=bearer(token))
    assert answer.status_code == 200
    assert answer.json == {"user": jwt.decode(token, options={"verify_signature": False})["sub"]}


@pytest.mark.parametrize("forge", ["nothing", "garbage", "changed", "secret"])
def test_another_service_refuses_what_we_have_not_signed(other_service, client, forge):
    good = log_in(client).json["access_token"]
    head, claims, signature = good.split(".")
    headers = {
        "nothing": {},
        "garbage": bearer("x.y.z"),
        "changed": bearer(f"{head}.{claims[:-4]}AAAA.{signature}"),
        "secret": bearer(
            jwt.encode(jwt.decode(good, options={"verify_signature": False}), "x" * 32, headers={"kid": "x"})
        ),
    }[forge]
    assert other_service.get("/hello", headers=headers).status_code == 401
