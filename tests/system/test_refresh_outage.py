"""Clients that refresh while the database cannot acknowledge: all stay signed in, and nobody counts as a thief."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pymongo

from tests.factories import PASSWORD, signup_body
from tests.replica_set import ReplicaSet

CLIENTS = 24
OUTAGE_SECONDS = 14
TIMEOUT_SECONDS = 120


def post(url, data, media_type="application/x-www-form-urlencoded"):
    """Make a request on a connection of its own; return the status, the body and `Retry-After`."""
    request = urllib.request.Request(url, data, {"Content-Type": media_type})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read()), None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), error.headers["Retry-After"]


def refresh(url, token):
    """Refresh as a client does that waits for as long as it is told and tries again."""
    data = urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": token}).encode()
    tried, end = [], time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        status, body, retry_after = post(url + "/api/auth/refresh", data)
        tried.append(status)
        if status != 503:
            break
        time.sleep(int(retry_after))
    return tried, body


def sign_in(url, number):
    body = signup_body(email=f"ada{number}@example.com")
    assert post(url + "/api/auth/signup", json.dumps(body).encode(), "application/json")[0] == 201
    form = urllib.parse.urlencode({"username": body["email"], "password": PASSWORD}).encode()
    return post(url + "/api/auth/login", form)[1]["refresh_token"]


def test_an_outage_signs_nobody_out_and_ends_no_session_as_stolen(gunicorn, tmp_path):
    with ReplicaSet(tmp_path) as replica_set, ThreadPoolExecutor(CLIENTS) as pool:
        primary = replica_set.primary()
        secondaries = [member for member in replica_set.members if member is not primary]
        with gunicorn(MONGO_URI=replica_set.uri("pixora"), WEB_CONCURRENCY="2", GUNICORN_THREADS="32") as url:
            tokens = list(pool.map(lambda number: sign_in(url, number), range(CLIENTS)))
            for member in secondaries:
                replica_set.suspend(member)
            try:
                refreshed = [pool.submit(refresh, url, token) for token in tokens]
                time.sleep(OUTAGE_SECONDS)
            finally:
                for member in secondaries:
                    replica_set.resume(member)
            answers = [one.result() for one in refreshed]
            assert [tried[-1] for tried, _ in answers] == [200] * CLIENTS
            assert any(503 in tried for tried, _ in answers)  # or else there was no outage
            again = list(pool.map(lambda answer: refresh(url, answer[1]["refresh_token"])[0][-1], answers))
            assert again == [200] * CLIENTS
        with pymongo.MongoClient(replica_set.uri("pixora")) as client:
            assert client.pixora.audit.count_documents({"event": "refresh_reuse"}) == 0
