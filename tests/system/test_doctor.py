"""The doctor, as an operator runs it, asks the service through nginx what it sees of its clients."""

import json
import secrets

import pytest

from tests.system.conftest import running_nginx

PROXY_COUNTS = {
    "0": ("fault", "PROXY_COUNT is 0, but 1 proxy told of us: the client is hidden", "Set PROXY_COUNT=1"),
    "1": ("ok", "The service takes us for 127.0.0.1", ""),
    "2": ("fault", "PROXY_COUNT is 2, but 1 proxy told of us: the client is hidden", "Set PROXY_COUNT=1"),
}


def examine(make_app, url, secret_key):
    runner = make_app(SECRET_KEY=secret_key).test_cli_runner()
    result = runner.invoke(args=["doctor", "--json", "--url", url])
    [found] = [one for one in json.loads(result.stdout)["checks"] if one["check"] == "client"]
    return result.exit_code, found


@pytest.mark.parametrize("count", PROXY_COUNTS)
def test_a_proxy_count_that_hides_the_client_is_found_through_nginx(gunicorn, make_app, tmp_path, count):
    state, told, advice = PROXY_COUNTS[count]
    secret_key = secrets.token_urlsafe(48)
    with (
        gunicorn(PROXY_COUNT=count, SECRET_KEY=secret_key) as url,
        running_nginx(tmp_path, int(url.rsplit(":", 1)[1])) as port,
    ):
        status, found = examine(make_app, f"http://127.0.0.1:{port}", secret_key)
        _, stranger = examine(make_app, f"http://127.0.0.1:{port}", secrets.token_urlsafe(48))
    assert found["state"] == state
    assert status == 1 or state == "ok"  # what else there is to be found is not the point here
    assert told in found["told"]
    assert advice in found["advice"]
    assert (stranger["state"], "another SECRET_KEY" in stranger["told"]) == ("fault", True)


@pytest.mark.parametrize(
    ("told_by_the_proxy", "state", "told"),
    [
        ("$remote_addr:$remote_port", "ok", "takes us for 127.0.0.1"),
        ("_hidden", "fault", "'_hidden' for us into X-Forwarded-For"),
    ],
)
def test_what_the_proxy_writes_for_an_address_is_looked_at(
    gunicorn, make_app, tmp_path, told_by_the_proxy, state, told
):
    def change(text, address):
        assert "X-Forwarded-For $remote_addr;" in text
        return text.replace("X-Forwarded-For $remote_addr;", f"X-Forwarded-For {told_by_the_proxy};")

    secret_key = secrets.token_urlsafe(48)
    with (
        gunicorn(PROXY_COUNT="1", SECRET_KEY=secret_key) as url,
        running_nginx(tmp_path, int(url.rsplit(":", 1)[1]), change=change) as port,
    ):
        _, found = examine(make_app, f"http://127.0.0.1:{port}", secret_key)
    assert found["state"] == state
    assert told in found["told"]


def test_a_service_that_does_not_answer_to_the_name_is_found(gunicorn, make_app):
    secret_key = secrets.token_urlsafe(48)
    with gunicorn(TRUSTED_HOSTS="auth.example.com", SECRET_KEY=secret_key) as url:
        status, found = examine(make_app, url, secret_key)
    assert (status, found["state"]) == (1, "fault")
    assert "TRUSTED_HOSTS does not list it" in found["told"]


@pytest.mark.parametrize(("count", "state"), [("0", "ok"), ("1", "fault")])
def test_without_a_proxy_no_proxy_may_be_counted(gunicorn, make_app, count, state):
    secret_key = secrets.token_urlsafe(48)
    with gunicorn(PROXY_COUNT=count, SECRET_KEY=secret_key) as url:
        _, found = examine(make_app, url, secret_key)
    assert found["state"] == state
