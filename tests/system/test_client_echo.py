import pytest

from pixora.system.client_echo import SCHEME, make_pass

PATH = "/health/client"


def ask(client, credentials, **headers):
    return client.get(PATH, headers={"Authorization": credentials, **headers})


def test_the_doctor_sees_how_its_request_arrived(make_app, settings):
    client = make_app(PROXY_COUNT=1).test_client()
    response = ask(client, make_pass(settings.secret_key), **{"X-Forwarded-For": "192.0.2.7, 203.0.113.9"})
    assert response.json == {
        "client": "203.0.113.9",
        "peer": "127.0.0.1",
        "forwarded": ["192.0.2.7", "203.0.113.9"],
        "proxy_count": 1,
    }


def test_an_empty_forwarded_value_keeps_its_place(make_app, settings):
    client = make_app(PROXY_COUNT=1).test_client()
    response = ask(client, make_pass(settings.secret_key), **{"X-Forwarded-For": "192.0.2.7, "})
    assert (response.json["client"], response.json["forwarded"]) == ("127.0.0.1", ["192.0.2.7", ""])


def test_the_doctor_sees_that_there_is_no_proxy(client, settings):
    response = ask(client, make_pass(settings.secret_key))
    assert response.json == {"client": "127.0.0.1", "peer": "127.0.0.1", "forwarded": [], "proxy_count": 0}


@pytest.mark.parametrize(
    "credentials",
    [
        *("", "Bearer x", SCHEME, f"{SCHEME} ", f"{SCHEME} 1.2.3", f"{SCHEME} .", f"{SCHEME} ²."),
        f"{SCHEME} {'9' * 5000}.x",
        f"{SCHEME} 99999999999.é",
        pytest.param(make_pass("another secret"), id="of another secret"),
    ],
)
def test_other_callers_get_the_404_of_an_unknown_url(client, credentials):
    here, nowhere = ask(client, credentials), client.get("/health/nothing")
    assert here.status_code == 404
    assert here.json | {"request_id": ""} == nowhere.json | {"request_id": ""}
    assert {name for name, _ in here.headers} == {name for name, _ in nowhere.headers}


def test_a_pass_expires_after_two_minutes(client, settings, move_clock):
    credentials = make_pass(settings.secret_key)
    assert ask(client, credentials).status_code == 200
    move_clock(minutes=2)
    assert ask(client, credentials).status_code == 404


def test_a_pass_from_the_far_future_is_rejected(client, settings, move_clock):
    move_clock(days=1)
    credentials = make_pass(settings.secret_key)
    move_clock(days=-1)
    assert ask(client, credentials).status_code == 404


def test_a_pass_with_a_forged_expiry_is_rejected(client, settings):
    scheme, given = make_pass(settings.secret_key).split()
    expires, mac = given.split(".")
    assert ask(client, f"{scheme} {int(expires) + 1}.{mac}").status_code == 404
