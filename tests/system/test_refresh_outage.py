"""Clients that refresh while the database cannot acknowledge: all stay signed in, and nobody counts as a thief."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pymongo
from mongod import Mongod

import config
from tests.conftest import make_account
from tests.replica_set import ReplicaSet
from tests.system.client import Client

CLIENTS = 24
OUTAGE_SECONDS = 14
TIMEOUT_SECONDS = 120


def refresh(client, token):
    """Refresh as a client does that waits for as long as it is told and tries again."""
    form = {"grant_type": "refresh_token", "refresh_token": token}
    tried, end = [], time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        answer = client.post("/api/auth/refresh", data=form)
        tried.append(answer.status_code)
        if answer.status_code != 503:
            break
        time.sleep(int(answer.headers["Retry-After"]))
    return tried, answer.json


def test_an_outage_signs_nobody_out_and_ends_no_session_as_stolen(gunicorn, tmp_path):
    with ReplicaSet(tmp_path) as replica_set, ThreadPoolExecutor(CLIENTS) as pool:
        primary = replica_set.primary()
        secondaries = [member for member in replica_set.members if member is not primary]
        with gunicorn(MONGO_URI=replica_set.uri("pixora"), WEB_CONCURRENCY="2", GUNICORN_THREADS="32") as url:
            client = Client(url)
            accounts = list(pool.map(lambda name: make_account(client, email=f"{name}@example.com"), range(CLIENTS)))
            for member in secondaries:
                replica_set.suspend(member)
            try:
                refreshed = [pool.submit(refresh, client, account.refresh_token) for account in accounts]
                time.sleep(OUTAGE_SECONDS)
            finally:
                for member in secondaries:
                    replica_set.resume(member)
            answers = [one.result() for one in refreshed]
            assert [tried[-1] for tried, _ in answers] == [200] * CLIENTS
            assert any(503 in tried for tried, _ in answers)  # or else there was no outage
            again = list(pool.map(lambda answer: refresh(client, answer[1]["refresh_token"])[0][-1], answers))
            assert again == [200] * CLIENTS
        with pymongo.MongoClient(replica_set.uri("pixora")) as client:
            assert client.pixora.audit.count_documents({"event": "refresh_reuse"}) == 0


def test_an_outage_right_after_an_answer_uses_up_no_grace(gunicorn, tmp_path):
    """One tab has just refreshed when the database freezes; another tab then sends the same token."""
    with Mongod(tmp_path, binary=config.mongod()) as mongod, ThreadPoolExecutor(CLIENTS) as pool:
        with gunicorn(MONGO_URI=mongod.uri("pixora"), WEB_CONCURRENCY="3", GUNICORN_THREADS="32") as url:
            client = Client(url)
            accounts = list(pool.map(lambda name: make_account(client, email=f"{name}@example.com"), range(CLIENTS)))
            tokens = [account.refresh_token for account in accounts]
            first_tabs = list(pool.map(lambda token: refresh(client, token), tokens))
            assert [tried for tried, _ in first_tabs] == [[200]] * CLIENTS
            os.kill(mongod.pid, signal.SIGSTOP)
            try:
                other_tabs = [pool.submit(refresh, client, token) for token in tokens]
                time.sleep(OUTAGE_SECONDS)
            finally:
                os.kill(mongod.pid, signal.SIGCONT)
            answers = [one.result() for one in other_tabs]
            assert [tried[-1] for tried, _ in answers] == [200] * CLIENTS
            assert all(503 in tried for tried, _ in answers)
            successors = [answer["refresh_token"] for _, answer in first_tabs]
            assert [answer["refresh_token"] for _, answer in answers] == successors
            again = pool.map(lambda token: refresh(client, token)[0][-1], successors)
            assert list(again) == [200] * CLIENTS
        with pymongo.MongoClient(mongod.uri("pixora")) as client:
            assert client.pixora.audit.count_documents({"event": "refresh_reuse"}) == 0
