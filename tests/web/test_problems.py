import re
from pathlib import Path

import pytest

from pixora import errors
from pixora.accounts.users import UserStore
from pixora.web.problems import HTTP_DETAILS

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}


def assert_problem(response, status, code):
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    assert set(response.json) - {"errors"} == MEMBERS
    assert response.json["status"] == status
    assert response.json["code"] == code
    assert response.json["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api", "/api/", "/api/auth", "/api/users", "/api/users/", "/api/auth/signup/", "/docs/x"]
)
def test_an_unknown_url_gets_a_problem(client, path):
    assert_problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/auth/signup", {"OPTIONS", "POST"}),
        ("DELETE", "/api/auth/login", {"OPTIONS", "POST"}),
        ("POST", "/api/users/me", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        ("TRACE", "/", {"GET", "HEAD", "OPTIONS"}),
        ("BREW", "/health", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_method_that_is_not_allowed_gets_a_problem_with_those_that_are(client, method, path, allowed):
    response = client.open(path, method=method)
    assert_problem(response, 405, "method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) == allowed


def test_an_internal_error_is_hidden_from_the_client_and_logged(make_app, account, capture_logs, monkeypatch):
    def fail(*args):
        raise RuntimeError("the secret plan")

    app = make_app()
    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(UserStore, "find_in_session", fail)
    with capture_logs() as lines:
        response = app.test_client().get("/api/users/me", headers=account.bearer)
    assert_problem(response, 500, "internal_server_error")
    assert "secret plan" not in response.text
    [line] = [line for line in lines if line["level"] == "ERROR"]
    assert "RuntimeError: the secret plan" in line["exc_info"]
    assert line["request_id"] == response.json["request_id"]


def test_a_validation_problem_names_each_field(client):
    response = client.post("/api/auth/signup", json={"email": "x", "birthday": "y", "extra": 1})
    assert_problem(response, 422, "validation_failed")
    assert set(response.json["errors"]) == {
        "first_name",
        "last_name",
        "email",
        "password",
        "contact",
        "birthday",
        "extra",
    }
    assert all(
        isinstance(messages, list) and all(isinstance(text, str) for text in messages)
        for messages in response.json["errors"].values()
    )


def every_error():
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.PixoraError) and kind is not errors.PixoraError
    ]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_has_a_stable_code_and_a_sentence(kind):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert kind.detail
    assert 400 <= kind.status < 600


def test_only_subclasses_share_the_code_of_an_error():
    codes = [kind.code for kind in every_error() if kind.__base__ is errors.PixoraError]
    assert len(codes) == len(set(codes))
    assert all(kind.code in codes for kind in every_error())


def test_nginx_uses_the_same_sentences():
    conf = (Path(__file__).parents[2] / "deploy" / "nginx.conf").read_text()
    [block] = re.findall(r"map \$status \$problem_detail \{(.*?)\}", conf, re.DOTALL)
    sentences = dict(re.findall(r'(\d+|default) "(.*)";', block))
    assert sentences["400"] == HTTP_DETAILS[400]
    assert sentences["404"] == HTTP_DETAILS[404]
    assert sentences["413"] == errors.PayloadTooLarge.detail
    assert sentences["default"] == HTTP_DETAILS[500]
