"""What becomes of the application's answers."""

import pytest

from tests.server.application import LARGE
from tests.server.client import GOOD, Client


def ask(client, path, *, line="{method} {path} HTTP/1.1", method="GET", fields=""):
    client.send(f"{line.format(method=method, path=path)}\r\nHost: x\r\n{fields}\r\n".encode())
    return client.answer(method.encode())


def test_a_body_without_a_length_comes_in_chunks(client):
    answer = ask(client, "/pieces")
    assert answer.fields["transfer-encoding"] == "chunked"
    assert answer.body == b"onetwo"
    assert client.is_open()


def test_a_body_without_a_length_ends_with_the_connection_for_http_1_0(client):
    answer = ask(client, "/pieces", line="{method} {path} HTTP/1.0", fields="Connection: keep-alive\r\n")
    assert "transfer-encoding" not in answer.fields
    assert answer.body == b"onetwo"


def test_a_list_has_a_length(client):
    assert ask(client, "/list").fields["content-length"] == "6"
    assert client.is_open()


def test_what_is_written_comes_before_what_is_returned(client):
    assert ask(client, "/list?write=zero").body == b"zeroonetwo"
    assert client.is_open()


@pytest.mark.parametrize("path", ["/good", "/pieces", "/list", "/length-of-two?status=200+OK"])
def test_head_has_the_fields_and_no_body(client, path):
    fields = ask(client, path, method="HEAD").fields
    assert {"content-length", "transfer-encoding"} & fields.keys()
    assert client.is_open()


@pytest.mark.parametrize("status", ["204+No+Content", "304+Not+Modified"])
@pytest.mark.parametrize("path", ["/no-body?status=", "/length-of-two?status="])
def test_some_statuses_have_no_body(client, path, status):
    answer = ask(client, path + status)
    assert answer.status == int(status[:3])
    assert "transfer-encoding" not in answer.fields
    assert client.is_open()


def test_the_body_of_an_empty_answer_is_empty(client):
    assert ask(client, "/no-body?status=200+OK").fields["content-length"] == "0"
    assert client.is_open()


def test_fields_of_the_connection_are_the_servers(client):
    fields = ask(client, "/hop").fields
    assert "transfer-encoding" not in fields
    assert fields["date"].endswith(" GMT")
    assert client.is_open()


def test_the_application_may_close(client):
    assert ask(client, "/close").fields["connection"] == "close"
    assert client.rest() == b""


def test_http_1_0_is_told_that_it_may_stay(client):
    answer = ask(client, "/good", line="{method} {path} HTTP/1.0", fields="Connection: keep-alive\r\n")
    assert answer.fields["connection"] == "keep-alive"
    assert client.is_open()


def test_a_client_that_asks_is_told_to_go_on_and_no_other(client):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    client.send(head)
    assert client.answer().status == 100
    client.send(b"a", 1)
    client.send(b"b")
    assert client.answer().json["body"] == "ab"
    client.send(head.replace(b"2\r\nExpect: 100-continue", b"99999\r\nExpect: 100-continue"))
    assert client.answer().status == 413


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("POST / HTTP/1.1", "Content-Length: 99999\r\n", 413),
        ("POST / HTTP/1.1", "Content-Length: x\r\n", 400),
        ("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\nx", 400),
        ("POST / HTTP/1.1", "Transfer-Encoding: gzip\r\n", 501),
        ("GET / HTTP/1.1", "Expect: tea\r\n", 417),
        ("GET / HTTP/1.1", "A : b\r\n", 400),
        (f"GET /{'a' * 5000} HTTP/1.1", "", 414),
        ("GET / HTTP/1.1", f"A: {'b' * 9000}\r\n", 431),
        ("GET / HTTP/1.1", "A: b\r\n" * 50, 431),
        ("GET / HTTP/1.1", f"A: {'b' * 5000}\r\n" * 2, 431),
        (f"{'X' * 33} / HTTP/1.1", "", 501),
        ("GET / HTTP/2.0", "", 505),
    ],
)
@pytest.mark.parametrize("origin", ["https://app.example.com", "https://app.example.com.evil.example", None])
def test_pages_of_listed_origins_can_read_that_a_request_was_rejected(client, line, fields, status, origin):
    listed = origin == "https://app.example.com"
    named = f"Origin: {origin}\r\n" if origin else ""
    client.send(f"{line}\r\nHost: x\r\nX-Request-ID: follow-me\r\n{named}{fields}\r\n".encode())
    answer = client.answer()
    assert answer.status == status
    assert answer.fields["x-request-id"] == "follow-me"
    assert answer.fields["vary"] == "Origin"
    assert answer.fields.get("access-control-allow-origin") == (origin if listed else None)
    assert ("X-Request-ID" in answer.fields.get("access-control-expose-headers", "")) is listed


@pytest.mark.parametrize(
    "fields",
    [
        "Origin: https://app.example.com\r\nOrigin: https://app.example.com\r\nA : b\r\n\r\n",
        "A : b\r\n\r\nOrigin: https://app.example.com\r\n",
        "A : b\r\n\r\n\r\nOrigin: https://app.example.com\r\n",
        "A : b\r\nX-Origin: https://app.example.com\r\n\r\n",
        "A : Origin: https://app.example.com\r\n\r\n",
    ],
)
def test_a_rejected_head_without_one_origin_is_of_none(client, fields):
    client.send(f"GET / HTTP/1.1\r\nHost: x\r\n{fields}".encode())
    answer = client.answer()
    assert answer.status == 400
    assert "access-control-allow-origin" not in answer.fields


@pytest.mark.parametrize("path", ["/fault", "/field?value=a%0d%0aX:%20b", "/field?value=a%0ab", "/field?value=a%00b"])
def test_a_fault_is_a_problem_that_says_nothing_of_it(client, url, path):
    answer = ask(client, path, fields="X-Request-ID: follow-me\r\n")
    assert answer.status == 500
    assert answer.json["code"] == "internal_server_error"
    assert answer.json["request_id"] == answer.fields["x-request-id"] == "follow-me"
    assert b"s3cr3t" not in answer.body
    assert client.rest() == b""


@pytest.mark.parametrize("path", ["/late-fault", "/too-short"])
def test_an_answer_that_breaks_off_is_cut_off(client, path):
    client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + GOOD)
    received = client.rest()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not received.endswith(b"0\r\n\r\n")
    assert received.count(b"HTTP/1.1") == 1


def test_faults_cost_no_thread(client, port):
    for _ in range(10):
        for path in ("/unclosable", "/late-fault", "/fault"):
            with Client(port) as other:
                other.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                other.rest()
    assert client.is_open()


def test_an_answer_longer_than_its_length_is_cut_to_it(client):
    assert ask(client, "/too-long").body == b"on"
    assert client.is_open()


def test_answers_come_in_the_order_of_the_requests(client):
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(500)))
    assert [client.answer().json["PATH_INFO"] for _ in range(500)] == [f"/{number}" for number in range(500)]


def test_nothing_is_answered_after_the_last_request(client):
    client.send(GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GOOD)
    assert client.answer().status == 200
    assert client.rest() == b""


def test_a_large_answer_comes_whole_however_slowly_it_is_read(client):
    assert len(ask(client, "/large").body) == LARGE
    assert client.is_open()


def test_answers_are_closed_also_those_that_nobody_takes(client, port):
    before = int(ask(client, "/closed").body)
    for path in ("/pieces", "/late-fault", "/large"):
        with Client(port) as other:
            other.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            other.socket.recv(1)
    for _ in range(600):
        if int(ask(client, "/closed").body) >= before + 3:
            break
        client.send(GOOD)
        client.answer()
    assert int(ask(client, "/sleep?seconds=0.1").body == b"slept")
    assert int(ask(client, "/closed").body) >= before + 3


def test_a_client_that_has_closed_its_sending_side_is_answered(port):
    with Client(port) as client:
        client.send(GOOD)
        client.socket.shutdown(1)
        assert client.answer().status == 200
        assert client.rest() == b""
