"""The network of a client: by its address, behind a proxy, and whatever headers claim."""

import pytest

from pixora.throttling import limits
from tests.factories import PASSWORD
from tests.throttling.conftest import attempt_login, statuses


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
@pytest.mark.parametrize("proxies", [0, 1])
def test_a_spoofed_header_does_not_change_the_client(throttled, header, proxies):
    """A proxy appends the address it sees to the header."""
    client = throttled(PROXY_COUNT=proxies).test_client()
    answers = []
    for number in range(11):
        spoofed = f"203.0.113.{number}"
        headers = {header: f"for={spoofed}" if header == "Forwarded" else spoofed}
        if proxies:
            seen = [headers.get("X-Forwarded-For"), "198.51.100.7"]
            headers["X-Forwarded-For"] = ", ".join(filter(None, seen))
        answers.append(attempt_login(client, **headers).status_code)
    assert answers == [401] * 10 + [429]


def test_behind_a_proxy_each_client_is_counted_separately(throttled):
    client = throttled(PROXY_COUNT=1).test_client()
    assert statuses(client, 11, X_Forwarded_For="198.51.100.7")[-1] == 429
    assert attempt_login(client, X_Forwarded_For="198.51.100.8").status_code == 401


@pytest.mark.parametrize(
    ("client_ip", "networks"),
    [
        ("192.0.2.1", ["192.0.2.1"]),
        ("::ffff:192.0.2.1", ["192.0.2.1"]),
        ("64:ff9b::192.0.2.1", ["192.0.2.1"]),
        ("64:ff9b::1:c000:201", ["64:ff9b::/64", "64:ff9b::/48"]),
        ("2001:db8:1:2:3:4:5:6", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("2001:db8:1:2::", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("2001:db8:1:ffff::1", ["2001:db8:1:ffff::/64", "2001:db8:1::/48"]),
        ("fe80::1%eth0", ["fe80::/64", "fe80::/48"]),
        ("", ["unknown"]),
        (None, ["unknown"]),
        ("pixora.sock", ["unknown"]),
    ],
)
def test_a_client_is_counted_by_its_network_and_an_ipv6_client_by_a_wide_one_too(client_ip, networks):
    assert limits.networks(client_ip) == networks


def test_many_networks_of_one_customer_cannot_lock_the_owner_out(throttled):
    client = throttled().test_client()
    answers = [attempt_login(client, client_ip=f"2001:db8:1:{number}::1").status_code for number in range(52)]
    assert answers == [401] * 50 + [429] * 2
    assert attempt_login(client, PASSWORD, client_ip="2001:db8:2::1").status_code == 200


def test_the_addresses_of_one_ipv6_network_are_counted_together(client):
    answers = [attempt_login(client, client_ip=f"2001:db8:1:2::{number}").status_code for number in range(11)]
    assert answers == [401] * 10 + [429]
    assert attempt_login(client, client_ip="2001:db8:1:3::1").status_code == 401
