"""What a service really prints, while all is tried that could break a line or bring a secret into one."""

import base64
import contextlib
import json
import re
import secrets
import socket
from dataclasses import replace
from urllib.parse import quote, urlencode, urlsplit

import pymongo
import pytest
from mongod import free_port

from pixora import create_app
from tests.conftest import close
from tests.factories import HASH_2B, PASSWORD, fastapi_user, log_in, sign_up, signup_body
from tests.system.client import Client
from tests.system.conftest import running_nginx

NEW_PASSWORD = "analytical-engine-no-1"
EMAIL = "ada@example.com"
DATABASE_PASSWORD = "s3cr3t-of-the-database"
FORGED = '{"level": "FORGED"}'
LINE_ENDS = "\n", "\r\n", "\r", "\x85", "\u2028", "\u2029", "\x00", "\x1b[2K\x1b[1A", "\x0b", "\x0c", "\x1e"
JSON = "application/json"
PLACEHOLDERS = {"token", "refresh_token", "password", "current_password", "new_password", "username", "email"}


class Service(Client):
    """A gunicorn to talk to, past what a well-behaved client would send."""

    def send(self, data):
        """Send bytes as they are; return what comes back."""
        with socket.create_connection(("127.0.0.1", urlsplit(self.url).port), 10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                return b"".join(iter(lambda: connection.recv(65536), b""))
        return b""

    def sign_up(self, email):
        """Sign up and log in."""
        assert sign_up(self, email=email).status_code == 201
        return log_in(self, email).json


def try_to_break_lines(service):
    """Put line ends, and lines that look like ours, wherever a client can put bytes."""
    for end in LINE_ENDS:
        text = f"x{end}{FORGED}"
        data, encoded = text.encode(), quote(text).encode()
        for head in (
            b"GET /" + encoded + b" HTTP/1.1\r\nHost: x",
            b"GET /" + data + b" HTTP/1.1\r\nHost: x",
            b"GET /api/users/" + encoded + b"?token=" + encoded + b" HTTP/1.1\r\nHost: x",
            b"GE" + data + b"T / HTTP/1.1\r\nHost: x",
            b"GET / HTTP/1.1" + data + b"\r\nHost: x",
            *(
                b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + name + b": " + data
                for name in (b"X-Request-ID", b"User-Agent", b"X-Forwarded-For", b"Authorization", b"Cookie", b"Expect")
            ),
            b"GET / HTTP/1.1\r\nHost: x\r\n" + data + b": x",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + data,
            b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + data,
        ):
            service.send(head + b"\r\nConnection: close\r\n\r\n")
        log_in(service, text, text)
        for body in (json.dumps(signup_body(first_name=text, email=text)), json.dumps({text: text}), text):
            for path in ("/api/auth/signup", "/api/auth/password-reset", "/api/auth/password-reset/confirm"):
                service.post(path, data=body.encode(), content_type=JSON)


def try_all_routes(service, one_time_token):
    """Put each secret wherever the API can be given one, and where it cannot; as a user and as nobody."""
    document = service.get("/openapi.json").json
    for number, (path, item) in enumerate(document["paths"].items()):
        for method, operation in item.items():
            if method == "parameters":
                continue
            grant = service.sign_up(f"{method}{number}@example.com")
            bearer = {"Authorization": f"Bearer {grant['access_token']}"}
            told = {"password": PASSWORD, "new_password": NEW_PASSWORD, "token": one_time_token, **grant}
            told = {name: text for name, text in told.items() if name in PLACEHOLDERS}
            place = re.sub(r"{\w+}", quote(grant["access_token"]), path)
            query = urlencode(told | {"limit": PASSWORD, "after": grant["refresh_token"], "email": PASSWORD})
            service.open(f"{place}?{query}", method=method.upper())
            for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
                is_json = media_type == JSON
                write = json.dumps if is_json else urlencode
                right = body["example"] | {name: text for name, text in told.items() if name in body["example"]}
                for fields in (right | {PASSWORD: PASSWORD}, dict.fromkeys(right, PASSWORD), right):
                    data = write(fields).encode()
                    sent = {"method": method.upper(), "data": data, "content_type": media_type}
                    service.open(place, **sent)
                    service.open(place, headers=bearer, **sent | {"data": data[:-1] + b"\xff"})
                    service.open(place, headers=bearer, **sent | {"content_type": "text/plain"})
                    service.open(place, headers=bearer, **sent)
            basic = base64.b64encode(f"{EMAIL}:{PASSWORD}".encode()).decode()
            for credentials in (
                f"Bearer {grant['access_token']}x",
                f"Basic {basic}",
                PASSWORD,
                bearer["Authorization"],
            ):
                headers = {"Authorization": credentials, "Cookie": f"session={PASSWORD}", "Referer": f"/?{PASSWORD}"}
                service.open(place, method=method.upper(), headers=headers)


def try_pages(service, one_time_token):
    """Open the links of letters and send their forms."""
    for page in ("/verify-email", "/reset-password", "/confirm-email"):
        service.get(f"{page}?token={one_time_token}")
        service.post(page, data={"token": one_time_token, "password": PASSWORD, "new_password": "short"})


def try_faults(service, users):
    """Store what makes no sense, and have the database refuse what is written: faults of ours, to be told of."""
    users.insert_one(fastapi_user(email="corrupt@example.com", password=f"{HASH_2B[:-9]}!"))
    users.insert_one(fastapi_user(email="odd@example.com", password=[HASH_2B]))
    for email in ("corrupt@example.com", "odd@example.com"):
        log_in(service, email)
    bearer = {"Authorization": f"Bearer {service.sign_up('faulty@example.com')['access_token']}"}
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    users.database.command("collMod", users.name, validator={"password": "nothing"})
    statuses = [
        sign_up(service, email="grace@example.com").status_code,
        service.post("/api/users/me/password", json=body, headers=bearer).status_code,
        service.patch("/api/users/me", json={"first_name": "Augusta"}, headers=bearer).status_code,
    ]
    users.database.command("collMod", users.name, validator={})
    assert statuses == [500, 500, 500]
    service.open("/api/users/me", method="PUT", data=PASSWORD.encode())
    service.post("/api/auth/login", data=PASSWORD.encode() * 1000)


@pytest.fixture(scope="module")
def printed(gunicorn, mongo_uri, settings):
    """All that two services print while all of this is tried; the second one has no database."""
    keys = {"SECRET_KEY": secrets.token_urlsafe(48), "JWT_SECRET_KEY": secrets.token_urlsafe(48)}
    keys["PIXORA_ENV"] = "development"  # in tests, faults are not told of by the application
    uri = mongo_uri.replace("?", f"_logs_{secrets.token_hex(4)}?")
    app = create_app(replace(settings, **{name.lower(): value for name, value in keys.items()}))
    with pymongo.MongoClient(uri) as client, gunicorn(MONGO_URI=uri, **keys) as url:
        service, users = Service(url), client.get_default_database()["users"]
        service.sign_up(EMAIL)
        token = app.extensions["services"].outbox.decrypt_token(users.find_one({"email": EMAIL})["letters"][0])
        try_to_break_lines(service)
        try_pages(service, token)
        try_all_routes(service, token)
        try_faults(service, users)
        client.drop_database(users.database.name)
    close(app)
    away = f"mongodb://root:{DATABASE_PASSWORD}@127.0.0.1:{free_port()}/pixora"
    with gunicorn(MONGO_URI=away, DATABASE_TIMEOUT_MS="200", is_healthy=False) as gone:
        client = Client(gone)
        reset = client.post("/api/auth/password-reset", json={"email": EMAIL})
        assert [answer.status_code for answer in (sign_up(client), log_in(client), reset)] == [503] * 3
    return url.log.read_bytes() + gone.log.read_bytes()


def test_nginx_writes_lines_of_json_whatever_a_client_sends(tmp_path):
    with running_nginx(tmp_path, free_port()) as port:
        try_to_break_lines(Service(f"http://127.0.0.1:{port}"))
        for path in (b"/\xff\xfe", b"/\xc2\x85{}", b"/\xe2\x80\xa8{}", b'/"}{"'):
            Service(f"http://127.0.0.1:{port}").send(
                b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
    printed = (tmp_path / "access.log").read_bytes()
    assert re.fullmatch(rb"([ -~]+\n)+", printed)
    lines = [json.loads(line) for line in printed.splitlines()]
    assert len(lines) > 100
    assert {line["logger"] for line in lines} == {"nginx"}
    assert {line["path"] for line in lines} >= {"/", '/"}{"'}


@pytest.fixture(scope="module")
def lines(printed):
    """What was printed, line by line and read."""
    return [json.loads(line) for line in printed.splitlines()]


def test_every_line_is_one_of_json_in_printable_ascii(printed, lines):
    assert re.fullmatch(rb"([ -~]+\n)+", printed)
    for line in lines:
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert line["level"] in ("INFO", "WARNING", "ERROR")


def test_what_was_tried_has_left_lines_of_every_kind(lines):
    events = {line.get("event") for line in lines}
    assert {"request", "login", "login_failed", "corrupt_hash", "database_unavailable", "account_deleted"} <= events
    assert sum("exc_info" in line for line in lines) >= 3
    statuses = {line.get("status") for line in lines}
    assert {200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 413, 415, 422, 500, 503} <= statuses


@pytest.mark.parametrize("secret", [PASSWORD, NEW_PASSWORD, DATABASE_PASSWORD, "mongodb://", "$2b$", "s3cr3t"])
def test_no_password_hash_or_uri_is_in_any_line(printed, secret):
    for spelling in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()[:-4]):
        assert spelling.encode() not in printed


def test_nothing_that_could_be_a_token_or_a_key_is_in_any_line(printed):
    assert not re.findall(rb"[A-Za-z0-9_-]{50,}", printed)  # a request id has 32 characters


def test_no_address_of_a_user_is_in_any_line(printed):
    assert b"example.com" not in printed
