"""The doctor asks a running service, through nginx, which IP it sees."""

import contextlib
import json
import secrets

import pytest

from tests.system.conftest import running_nginx

PROXY_COUNTS = {
    "0": (
        "fault",
        "PROXY_COUNT is 0, but the request passed 1 proxy: the IP of the client is hidden",
        "Set PROXY_COUNT=1",
    ),
    "1": ("ok", "The service sees the doctor as 127.0.0.1", ""),
    "2": (
        "fault",
        "PROXY_COUNT is 2, but the request passed 1 proxy: the IP of the client is hidden",
        "Set PROXY_COUNT=1",
    ),
}


SECRET_KEY = secrets.token_urlsafe(48)


@pytest.fixture(scope="module")
def service(gunicorn):
    """Return the URL of a service with a proxy count, which is started once."""
    urls = {}
    with contextlib.ExitStack() as stack:

        def service(proxy_count):
            if proxy_count not in urls:
                running = gunicorn(PROXY_COUNT=proxy_count, SECRET_KEY=SECRET_KEY)
                urls[proxy_count] = stack.enter_context(running)
            return urls[proxy_count]

        yield service


def examine(make_app, url, secret_key=SECRET_KEY, check="client", **settings):
    runner = make_app(SECRET_KEY=secret_key, **settings).test_cli_runner()
    result = runner.invoke(args=["doctor", "--json", "--url", url])
    [found] = [one for one in json.loads(result.stdout)["checks"] if one["check"] == check]
    return result.exit_code, found


@pytest.mark.parametrize("count", PROXY_COUNTS)
def test_a_proxy_count_that_hides_the_client_is_found(service, make_app, tmp_path, count):
    state, message, advice = PROXY_COUNTS[count]
    with running_nginx(tmp_path, int(service(count).rsplit(":", 1)[1])) as port:
        status, found = examine(make_app, f"http://127.0.0.1:{port}")
        _, stranger = examine(make_app, f"http://127.0.0.1:{port}", secrets.token_urlsafe(48))
    assert found["state"] == state
    assert status == 1 or state == "ok"  # other checks may report faults
    assert message in found["message"]
    assert advice in found["advice"]
    assert (stranger["state"], "another SECRET_KEY" in stranger["message"]) == ("fault", True)


@pytest.mark.parametrize(
    ("value", "state", "message"),
    [
        ("$remote_addr:$remote_port", "ok", "sees the doctor as 127.0.0.1"),
        ("_hidden", "fault", "A proxy adds '_hidden' to X-Forwarded-For"),
    ],
)
def test_what_the_proxy_adds_to_the_header_is_checked(service, make_app, tmp_path, value, state, message):
    def change(text, address):
        assert "X-Forwarded-For $remote_addr;" in text
        return text.replace("X-Forwarded-For $remote_addr;", f"X-Forwarded-For {value};")

    with running_nginx(tmp_path, int(service("1").rsplit(":", 1)[1]), change=change) as port:
        _, found = examine(make_app, f"http://127.0.0.1:{port}")
    assert found["state"] == state
    assert message in found["message"]


def test_an_untrusted_host_name_is_found(gunicorn, make_app):
    with gunicorn(TRUSTED_HOSTS="auth.example.com", SECRET_KEY=SECRET_KEY) as url:
        status, found = examine(make_app, url)
    assert (status, found["state"]) == (1, "fault")
    assert "TRUSTED_HOSTS does not list it" in found["message"]


@pytest.mark.parametrize(("count", "state"), [("0", "ok"), ("1", "fault")])
def test_a_proxy_count_without_a_proxy_is_found(service, make_app, count, state):
    _, found = examine(make_app, service(count))
    assert found["state"] == state


PASSKEYS = {
    "WEBAUTHN_RP_ID": "example.com",
    "WEBAUTHN_ORIGINS": "https://example.com,https://app.example.com",
    "WEBAUTHN_ANDROID_APPS": f"com.example.app:{'0A:' * 31}0A",
    "WEBAUTHN_APPLE_APPS": "A1B2C3D4E5.com.example.app",
    "LINK_MANAGE_PASSKEYS": "https://app.example.com/passkeys",
}


def test_the_documents_about_passkeys_are_fetched_through_the_proxy(gunicorn, make_app, tmp_path):
    secret_key = secrets.token_urlsafe(48)
    lists = {
        name: value.split(",") for name, value in PASSKEYS.items() if name.startswith("WEBAUTHN_") and name[9] != "R"
    }
    lists["WEBAUTHN_ORIGINS"].append("android:apk-key-hash:CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo")
    with (
        gunicorn(SECRET_KEY=secret_key, PROXY_COUNT="1", **PASSKEYS) as service,
        running_nginx(tmp_path, int(service.rsplit(":", 1)[1])) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        _, found = examine(make_app, url, secret_key, "passkey_documents", **PASSKEYS | lists)
        assert found["state"] == "ok", found
        names = "webauthn, assetlinks.json, apple-app-site-association, passkey-endpoints"
        assert found["message"] == f"{url} has the documents about passkeys: {names}."
        another = lists | {"WEBAUTHN_APPLE_APPS": ["A1B2C3D4E5.com.example.other"]}
        status, found = examine(make_app, url, secret_key, "passkey_documents", **PASSKEYS | another)
    assert (status, found["state"]) == (1, "fault")
    assert found["message"] == f"{url}/.well-known/apple-app-site-association does not have all that the settings say."
