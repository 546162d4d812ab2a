"""Answers that reject a request are held back a little, without a thread."""

import os
import signal
import time
from contextlib import ExitStack
from urllib.parse import quote_plus, urlsplit

import pytest

from pixora.server.answering import REJECTIONS
from pixora.server.worker import REJECTION_SECONDS
from tests.server.client import GOOD, Client

THREADS = 4
TOO_MANY = "429 Too Many Requests"
TIMES = 5


def request(status):
    return f"GET /length-of-two?status={quote_plus(status)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.mark.parametrize("status", REJECTIONS)
def test_a_client_that_repeats_a_rejected_request_has_to_wait_each_time(client, status):
    began = time.monotonic()
    for _ in range(TIMES):
        client.send(request(f"{status} Rejected"))
        assert client.answer().status == int(status)
    assert time.monotonic() - began >= TIMES * REJECTION_SECONDS
    assert client.is_open()


def test_pipelined_answers_keep_their_order(client):
    client.send(request(TOO_MANY) + GOOD + request("422 Unprocessable Content") + GOOD)
    assert [client.answer().status for _ in range(4)] == [429, 200, 422, 200]


def test_a_rejected_request_is_answered_before_the_connection_closes(client):
    client.send(request(TOO_MANY).replace(b"Host: x", b"Host: x\r\nConnection: close"))
    assert client.answer().status == 429
    assert client.rest() == b""


def test_held_back_answers_occupy_no_thread(gunicorn):
    """With a thread for each, these clients would wait for one another 25 times."""
    with (
        gunicorn(application="tests.server.application:app", GUNICORN_THREADS=str(THREADS)) as url,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(Client(urlsplit(url).port)) for _ in range(25 * THREADS)]
        began = time.monotonic()
        for client in clients:
            client.send(request(TOO_MANY))
        assert {client.answer().status for client in clients} == {429}
        assert time.monotonic() - began < 25 * REJECTION_SECONDS


def test_a_client_that_leaves_meanwhile_does_no_harm(port):
    for _ in range(TIMES):
        with Client(port) as leaving:
            leaving.send(request(TOO_MANY))
    with Client(port) as client:
        client.send(request(TOO_MANY))
        assert client.answer().status == 429
        assert client.is_open()


def test_a_worker_that_stops_sends_what_it_holds_back(gunicorn):
    with (
        gunicorn(application="tests.server.application:app") as url,
        Client(urlsplit(url).port) as client,
    ):
        assert client.is_open()
        client.send(request(TOO_MANY))
        os.kill(url.pid, signal.SIGTERM)
        assert client.answer().status == 429
