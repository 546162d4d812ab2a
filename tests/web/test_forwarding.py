import ipaddress

import pytest
from flask import request
from hypothesis import given
from hypothesis import strategies as st

from pixora.web.forwarding import client_ip, peer
from tests.factories import PASSWORD, signup_body

PEER = "10.0.0.9"


@pytest.fixture
def seen(make_app):
    """The client address that an application behind `proxies` proxies sees."""

    def look(proxies, forwarded, remote=PEER):
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
        with make_app(PROXY_COUNT=proxies).test_client() as client:
            client.get("/", headers=headers, environ_overrides={"REMOTE_ADDR": remote})
            return request.remote_addr

    return look


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("203.0.113.7:40001", "203.0.113.7"),
        ('"203.0.113.7:40001"', "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ('"[2001:db8::7]:443"', "2001:db8::7"),
        ("[203.0.113.7]:443", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:40001", "203.0.113.7"),
    ],
)
def test_every_notation_of_an_ip_address_is_read(text, ip):
    assert client_ip(text) == ip


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "unknown", "_hidden", "-", "localhost", "client.example.com", "203.0.113", "203.0.113.256"),
        *("203.0.113.7:", "203.0.113.7:x", "203.0.113.7:123456", "[2001:db8::7", "2001:db8::7]", "[]", "[]:443"),
        *("203.0.113.7 203.0.113.8", "for=203.0.113.7", "http://203.0.113.7", "203.0.113.7\n", "٢٠٣.0.113.7"),
        *("203.0.113.007", "[203.0.113.7]443", "1" * 70, "fe80::1%" + "x" * 60),
    ],
)
def test_other_text_is_not_read_as_an_ip_address(text):
    assert client_ip(text) is None or text != text.strip()


@given(st.text() | st.from_regex(r"\[?[0-9a-f:.%]{1,45}\]?(:[0-9]{1,6})?"))
def test_an_address_is_returned_in_its_canonical_form(text):
    ip = client_ip(text)
    assert ip is None or str(ipaddress.ip_address(ip)) == ip
    assert ip is None or client_ip(ip) == ip


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_ip_address_is_read_with_and_without_a_port(ip, port):
    in_brackets = f"[{ip}]" if ip.version == 6 else str(ip)
    expected = str(getattr(ip, "ipv4_mapped", None) or ip)
    assert {client_ip(str(ip)), client_ip(in_brackets), client_ip(f"{in_brackets}:{port}")} == {expected}


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=80))
def test_a_client_cannot_hide_the_value_of_the_proxy(session_app, sent):
    from pixora.web.forwarding import Forwarding  # noqa: PLC0415

    environ = {"REMOTE_ADDR": PEER, "HTTP_X_FORWARDED_FOR": f"{sent}, 203.0.113.7:40001"}
    Forwarding(lambda environ, _: [], 1)(environ, None)
    assert environ["REMOTE_ADDR"] == "203.0.113.7"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "ip"),
    [
        (0, "203.0.113.7", PEER),
        (1, None, PEER),
        (1, "", PEER),
        (1, "203.0.113.7:40001", "203.0.113.7"),
        (1, '"192.0.2.1, 203.0.113.7', "203.0.113.7"),
        (2, "203.0.113.7:40001, 10.0.0.8:99", "203.0.113.7"),
        (2, "203.0.113.7", PEER),
        (2, "unknown, 10.0.0.8", "10.0.0.8"),
        (2, "192.0.2.1, unknown, unknown", PEER),
        (1, "192.0.2.1, unknown", PEER),
        (1, "192.0.2.1,", PEER),
    ],
)
def test_an_unreadable_client_counts_as_the_nearest_readable_proxy(seen, proxies, forwarded, ip):
    assert seen(proxies, forwarded) == ip


def test_the_address_of_the_connection_is_in_canonical_form(seen):
    assert seen(0, None, "::ffff:10.0.0.9") == "10.0.0.9"


def test_the_peer_is_the_address_of_the_connection(make_app):
    with make_app(PROXY_COUNT=1).test_client() as client:
        client.get("/", headers={"X-Forwarded-For": "203.0.113.7"}, environ_overrides={"REMOTE_ADDR": PEER})
        assert peer() == PEER


@pytest.mark.parametrize(
    ("sent", "scheme"), [("https", "https"), ("http, https", "https"), ('"x, https', "https"), ("gopher", "http")]
)
def test_only_http_and_https_are_accepted_as_scheme(make_app, sent, scheme):
    with make_app(PROXY_COUNT=1).test_client() as client:
        client.get("/", headers={"X-Forwarded-Proto": sent})
        assert request.scheme == scheme


@pytest.mark.parametrize(
    ("proxies", "sent", "logged"),
    [
        (1, "_hidden{}" + "x" * 200, "_hidden0" + "x" * 56),
        (2, "203.0.113.{}", "203.0.113.0"),  # too few values
        (1, "", ""),
    ],
)
def test_that_proxies_hide_the_client_is_logged_once(make_app, capture_logs, proxies, sent, logged):
    client = make_app(PROXY_COUNT=proxies).test_client()
    with capture_logs() as lines:
        for number in range(3):
            client.get("/", headers={"X-Forwarded-For": sent.format(number)})
    [line] = [line for line in lines if line.get("event") == "client_unreadable"]
    assert (line["level"], line["value"]) == ("ERROR", logged)


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-For": "192.0.2.1, 203.0.113.7, 10.0.0.8"}])
def test_a_readable_client_and_a_probe_without_proxies_are_not_logged(make_app, capture_logs, headers):
    with capture_logs() as lines:
        make_app(PROXY_COUNT=2).test_client().get("/", headers=headers)
    assert not [line for line in lines if line.get("event") == "client_unreadable"]


@pytest.mark.parametrize("form", ["203.0.113.{}:40001", "[2001:db8:0:{}::7]:443", "[2001:db8:0:{}::7]"])
def test_clients_behind_a_gateway_that_appends_ports_have_separate_limits(make_app, counts, form):
    client = make_app(PROXY_COUNT=1, THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()

    def sign_up(number):
        body = signup_body(email=f"ada{number}@example.com", password=PASSWORD)
        return client.post("/api/auth/signup", json=body, headers={"X-Forwarded-For": form.format(number)}).status_code

    assert [sign_up(number) for number in (1, 2, 1)] == [201, 201, 429]
