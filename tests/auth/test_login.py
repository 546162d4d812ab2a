import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from tests.factories import ARGON2ID, HASH_2A, HASH_2B, HASH_2Y, PASSWORD, PHC_HASHES, fastapi_user, log_in, sign_up


def test_login_answers_with_a_bearer_token(client, account):
    form = {"username": account.email, "password": PASSWORD, "grant_type": "password", "scope": ""}
    response = client.post("/api/auth/login", data=form)
    assert response.status_code == 200
    assert set(response.json) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert response.json["token_type"] == "bearer"
    assert response.json["expires_in"] == 900
    assert response.headers["Cache-Control"] == "no-store"


def test_login_takes_what_oauth_clients_send_along(client, account):
    form = {"username": account.email, "password": PASSWORD, "grant_type": "password"}
    extra = {"client_id": "web", "client_secret": "", "scope": "openid"}
    assert client.post("/api/auth/login", data=form | extra).status_code == 200


def test_login_takes_a_multipart_form(client, account):
    form = {"username": account.email, "password": PASSWORD}
    assert client.post("/api/auth/login", data=form, content_type="multipart/form-data").status_code == 200


@pytest.mark.parametrize(
    "spelling",
    ["ADA@example.com", "Ada@EXAMPLE.Com", "ada@example.com ", "\t\u00a0ada@example.com\r\n", "\u3000ADA@example.com"],
)
def test_login_takes_the_address_in_any_case_and_white_space_around_it(client, account, spelling):
    assert log_in(client, spelling).status_code == 200


ONE_ADDRESS = [
    ("straße@example.com", "STRASSE@example.com"),
    ("STRASSE@example.com", "straße@example.com"),
    ("STRAẞE@example.com", "strasse@example.com"),
    ("γιώργος@example.com", "ΓΙΏΡΓΟΣ@example.com"),
    ("ΓΙΏΡΓΟΣ.Χ@example.com", "γιώργος.χ@example.com"),
    ("Re\u0301my@example.com", "RÉMY@example.com"),
]


@pytest.mark.parametrize(("signed_up_with", "typed"), ONE_ADDRESS)
def test_login_takes_the_address_in_any_case_that_unicode_has(client, users, signed_up_with, typed):
    assert sign_up(client, email=signed_up_with).status_code == 201
    assert log_in(client, typed).status_code == 200
    assert log_in(client, signed_up_with).status_code == 200


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("straße@example.com", "Straße@example.com"),
        ("γιώργος@example.com", "ΓΙΏΡΓΟΣ@example.com"),
        ("γιώργος@example.com", "γιώργος@example.com "),
        ("i\u0307nci@example.com", "İnci@example.com"),
        ("ŉame@example.com", "ŉame@EXAMPLE.com"),
    ],
)
def test_a_user_with_an_older_case_folding_logs_in(client, users, stored, typed):
    users.insert_one(fastapi_user(email=stored))
    assert log_in(client, typed).status_code == 200


def test_wrong_passwords_count_for_the_account_however_its_address_is_typed(make_app, counts):
    client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per hour").test_client()
    assert sign_up(client, email="straße@example.com").status_code == 201
    for typed in ("straße@example.com", " STRASSE@example.com"):
        assert log_in(client, typed, "wrong-password-1").status_code == 401
    assert log_in(client, "Strasse@example.com ", "wrong-password-1").status_code == 429


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("ada@example.com", "wrong-password-1"),
        ("ada@example.com", " "),
        ("ada@example.com", PASSWORD + " "),
        ("ada@example.com", PASSWORD.upper()),
        ("ada@example.com", "x" * 5000),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        (" ", PASSWORD),
        ('{"$ne": null}', PASSWORD),
        ("x" * 5000 + "@example.com", PASSWORD),
        ("a" + "\u0301\u0316" * 1000 + "@example.com", PASSWORD),
    ],
)
def test_login_with_wrong_credentials_is_refused_the_same_way(client, account, username, password):
    response = log_in(client, username, password)
    assert response.status_code == 401
    assert response.json["detail"] == "Incorrect email or password"
    assert response.json["code"] == "invalid_credentials"
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json["error"] == "invalid_grant"
    assert response.json["error_description"] == response.json["detail"]


def test_a_longer_password_is_not_cut_to_72_bytes(client, users):
    password = "0123456789abcdefghij" * 4
    users.insert_one(fastapi_user(password=bcrypt.hashpw(password[:72].encode(), bcrypt.gensalt(4)).decode()))
    assert log_in(client, "Grace.Hopper@example.com", password[:72]).status_code == 200
    assert log_in(client, "Grace.Hopper@example.com", password).status_code == 401


@pytest.mark.parametrize("empty", [{}, {"username": ""}, {"password": ""}])
@pytest.mark.parametrize("missing", ["username", "password"])
def test_login_without_a_field_or_with_an_empty_one_is_refused(client, missing, empty):
    form = {"username": "ada@example.com", "password": PASSWORD} | empty
    form.pop(missing)
    response = client.post("/api/auth/login", data=form)
    assert response.status_code == 422
    assert response.json["errors"] == {name: ["Missing data for required field."] for name in {missing, *empty}}
    assert response.json["error"] == "invalid_request"


@pytest.mark.parametrize(
    "fields",
    [{"remember_me": "1"}, {"username[$ne]": ""}, {"resource": ["https://a.example.com", "b"]}, {"grant_type": ""}],
)
def test_login_ignores_parameters_that_it_does_not_know_or_that_are_empty(client, account, fields):
    form = {"username": account.email, "password": PASSWORD}
    assert client.post("/api/auth/login", data=form | fields).status_code == 200


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"grant_type": "client_credentials"}, "grant_type"),
        ({"scope": ["", ""]}, "scope"),
        ({"username": ["ada@example.com", "eve@example.com"]}, "username"),
        ({"password": [PASSWORD, PASSWORD]}, "password"),
        ({"username": "ada\0@example.com"}, "username"),
        ({"password": "\0"}, "password"),
    ],
)
def test_login_with_a_form_that_could_be_misread_is_refused(client, account, form, field):
    response = client.post("/api/auth/login", data={"username": account.email, "password": PASSWORD} | form)
    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]


def test_login_with_a_file_in_the_place_of_a_password_is_refused(client, account, tmp_path):
    (tmp_path / "password").write_text(PASSWORD)
    with (tmp_path / "password").open("rb") as file:
        response = log_in(client, account.email, file)
    assert response.status_code == 422
    assert response.json["errors"] == {"password": ["Not a valid string."]}


@pytest.mark.parametrize(
    "body",
    [{"username": "ada@example.com", "password": PASSWORD}, {"username": {"$ne": None}, "password": {"$ne": None}}],
)
def test_login_with_json_is_the_wrong_media_type(client, account, body):
    response = client.post("/api/auth/login", json=body)
    assert response.status_code == 415
    assert response.json["code"] == "unsupported_media_type"
    assert "application/x-www-form-urlencoded" in response.json["detail"]


@pytest.mark.parametrize("stored", [HASH_2A, HASH_2B, HASH_2Y])
def test_a_user_of_the_fastapi_service_logs_in(client, users, stored):
    user = fastapi_user(password=stored)
    users.insert_one(user)
    response = log_in(client, user["email"])
    assert response.status_code == 200
    profile = client.get("/api/users/me", headers={"Authorization": f"Bearer {response.json['access_token']}"})
    assert profile.json == {
        "id": user["_id"],
        "first_name": "Grace",
        "last_name": "Hopper",
        "email": "Grace.Hopper@example.com",
        "contact": "ring the Navy, ext. 7",
        "birthday": "1906-12-09",
        "created_at": "2023-05-17T08:30:00.123Z",
        "updated_at": "2023-05-17T08:30:00.123Z",
        "email_verified": False,
        "roles": ["user"],
    }


@pytest.mark.parametrize("typed", ["Grace.Hopper@example.com", "Grace.Hopper@EXAMPLE.com"])
def test_an_address_that_was_stored_as_typed_is_found_as_typed(client, users, typed):
    users.insert_one(fastapi_user())
    assert log_in(client, typed).status_code == 200


def test_login_rehashes_a_hash_of_lower_cost(make_app, users):
    users.insert_one(fastapi_user())
    client = make_app(BCRYPT_ROUNDS=5).test_client()
    assert log_in(client, "Grace.Hopper@example.com").status_code == 200
    rehashed = users.find_one()
    assert rehashed["password"].startswith("$2b$05$")
    assert rehashed["updated_at"] == fastapi_user()["updated_at"]
    assert log_in(client, "Grace.Hopper@example.com").status_code == 200


@pytest.mark.parametrize("rounds", [4, 5])
def test_login_leaves_a_hash_of_the_same_or_a_higher_cost(make_app, users, rounds):
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
    users.insert_one(fastapi_user(password=stored))
    assert log_in(make_app(BCRYPT_ROUNDS=rounds).test_client(), "Grace.Hopper@example.com").status_code == 200
    assert users.find_one()["password"] == stored


@pytest.mark.parametrize("stored", PHC_HASHES)
def test_a_hash_of_another_system_gives_way_to_bcrypt_at_the_first_login(client, users, stored):
    users.insert_one(fastapi_user(password=stored))
    assert log_in(client, "Grace.Hopper@example.com", "wrong-password-1").status_code == 401
    assert users.find_one()["password"] == stored
    assert log_in(client, "Grace.Hopper@example.com").status_code == 200
    assert users.find_one()["password"].startswith("$2b$04$")
    assert log_in(client, "Grace.Hopper@example.com").status_code == 200


def test_a_password_that_is_too_long_for_bcrypt_stays_with_the_hash_it_came_with(client, users):
    password = "0123456789abcdefghij" * 4
    salt, digest = (
        base64.b64encode(part).rstrip(b"=").decode()
        for part in (b"some salt", hashlib.pbkdf2_hmac("sha256", password.encode(), b"some salt", 10))
    )
    stored = f"$pbkdf2-sha256$i=10,l=32${salt}${digest}"
    users.insert_one(fastapi_user(password=stored))
    assert log_in(client, "Grace.Hopper@example.com", password[:72]).status_code == 401
    for _ in range(2):
        assert log_in(client, "Grace.Hopper@example.com", password).status_code == 200
    assert users.find_one()["password"] == stored


def test_two_first_logins_at_once_both_succeed(app, users):
    users.insert_one(fastapi_user(password=ARGON2ID))
    with ThreadPoolExecutor(4) as pool:
        logins = [pool.submit(log_in, app.test_client(), "Grace.Hopper@example.com") for _ in range(4)]
        assert {login.result().status_code for login in logins} == {200}
    assert len(users.find_one()["sessions"]) == 4


@pytest.mark.parametrize(
    "stored",
    [
        *("", "x", PASSWORD, "$2b$04$short", None, 7, ["$2b$"]),
        HASH_2B[:-1],
        HASH_2B + "x",
        HASH_2B.replace("$2b$", "$2x$"),
        HASH_2B.replace("$04$", "$31$"),
        HASH_2B.replace("$04$", "$03$"),
        HASH_2B[:28] + "9" + HASH_2B[29:],
        ARGON2ID[:-1],
        ARGON2ID.replace("m=64", "m=4194304"),
        ARGON2ID.replace("t=1", "t=1000000"),
    ],
)
def test_a_corrupt_hash_is_a_refused_login_and_an_error_in_the_log(client, users, capture_logs, stored):
    user = fastapi_user(password=stored)
    users.insert_one(user)
    with capture_logs() as lines:
        assert log_in(client, user["email"]).status_code == 401
    [line] = [line for line in lines if line.get("event") == "corrupt_hash"]
    assert line["level"] == "ERROR"
    assert line["user_id"] == user["_id"]
    assert user["email"] not in json.dumps(line)


def test_a_document_without_a_password_is_a_refused_login(client, users, capture_logs):
    user = fastapi_user()
    del user["password"]
    users.insert_one(user)
    with capture_logs() as lines:
        assert log_in(client, user["email"]).status_code == 401
    assert "corrupt_hash" not in {line.get("event") for line in lines}
