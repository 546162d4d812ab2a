from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from tests.factories import PASSWORD, log_in, sign_up, signup_body


def test_signup_answers_with_the_id_and_where_the_profile_is(client):
    response = sign_up(client)
    assert response.status_code == 201
    assert set(response.json) == {"message", "id"}
    assert response.json["message"] == "User created successfully"
    assert len(bytes.fromhex(response.json["id"])) == 12
    assert response.headers["Location"] == f"/api/users/{response.json['id']}"


def test_signup_stores_a_document_the_fastapi_service_could_read(client, users):
    user_id = sign_up(client, email="Ada@Example.COM", first_name="  Ada ").json["id"]
    document = users.find_one({"_id": user_id})
    assert set(document) == {
        *("_id", "first_name", "last_name", "email", "password", "contact", "birthday", "created_at", "updated_at"),
        *("email_verified", "roles", "tokens", "letters"),
    }
    assert document["first_name"] == "Ada"
    assert document["email"] == "ada@example.com"
    assert document["contact"] == "+442079460958"
    assert document["birthday"] == "1990-12-10"
    assert document["created_at"] == document["updated_at"]
    assert bcrypt.checkpw(PASSWORD.encode(), document["password"].encode())


def test_signup_hashes_at_the_configured_cost(client, users):
    sign_up(client)
    assert users.find_one()["password"].startswith("$2b$04$")


@pytest.mark.parametrize("again", ["ada@example.com", "ADA@EXAMPLE.COM", "Ada@Example.com", " ada@example.com\n"])
def test_signup_with_a_known_address_in_any_case_is_a_conflict(client, users, again):
    sign_up(client)
    response = sign_up(client, email=again)
    assert response.status_code == 409
    assert response.json["detail"] == "User with this email already exists"
    assert response.json["code"] == "email_taken"
    assert users.count_documents({}) == 1


@pytest.mark.parametrize("pair", [("straße", "STRASSE"), ("γιώργος", "ΓΙΏΡΓΟΣ"), ("ﬁona", "FIONA")])
def test_case_makes_no_second_account_in_any_script(client, users, pair):
    first, second = pair
    assert sign_up(client, email=f"{first}@example.com").status_code == 201
    assert sign_up(client, email=f"{second}@example.com").status_code == 409


@pytest.mark.parametrize("field", ["first_name", "last_name"])
@pytest.mark.parametrize("name", ["\u200b", "\u2800", "\u3164", "\u00ad\u0301"], ids=ascii)
def test_a_name_with_nothing_to_see_is_refused(client, users, field, name):
    response = sign_up(client, **{field: name})
    assert response.status_code == 422
    assert response.json["errors"] == {field: ["Must have at least one visible character."]}


def test_parallel_signups_of_one_address_make_one_user(app, users):
    def attempt(number):
        email = ("ada@example.com", "ADA@Example.com")[number % 2]
        return sign_up(app.test_client(), email=email).status_code

    with ThreadPoolExecutor(60) as pool:
        statuses = list(pool.map(attempt, range(60)))
    assert sorted(statuses) == [201] + [409] * 59
    assert users.count_documents({}) == 1


@pytest.mark.parametrize("field", list(signup_body()))
def test_signup_without_a_field_is_refused(client, users, field):
    body = signup_body()
    del body[field]
    response = client.post("/api/auth/signup", json=body)
    assert response.status_code == 422
    assert response.json["errors"] == {field: ["Missing data for required field."]}
    assert users.count_documents({}) == 0


@pytest.mark.parametrize("field", list(signup_body()))
@pytest.mark.parametrize(
    "value", [None, 1, 1.5, True, [], ["a"], {}, {"$ne": None}, {"$oid": "x"}, {"$regex": ".*"}, 10**30], ids=repr
)
def test_signup_with_a_value_of_another_type_is_refused(client, users, field, value):
    response = sign_up(client, **{field: value})
    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]
    assert users.count_documents({}) == 0


@pytest.mark.parametrize("field", list(signup_body()))
@pytest.mark.parametrize("character", ["\\ud800", "\\udfff", "\\u0000"])
def test_signup_with_a_lone_surrogate_or_nul_is_refused(client, field, character):
    text = client.application.json.dumps(signup_body(**{field: "PLACE"})).replace("PLACE", f"Ada {character} Ada")
    response = client.post("/api/auth/signup", data=text, content_type="application/json")
    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]


@pytest.mark.parametrize("name", ["role", "_id", "id", "is_admin", "created_at", "$set", "first_name.x", "\\ud800"])
def test_signup_with_an_unknown_field_is_refused(client, users, name):
    text = client.application.json.dumps(signup_body(PLACE="x")).replace("PLACE", name)
    response = client.post("/api/auth/signup", data=text, content_type="application/json")
    assert response.status_code == 422
    assert response.json["errors"] == {name: ["Unknown field."]}
    assert users.count_documents({}) == 0


@pytest.mark.parametrize("body", ["[]", '"x"', "1", "null", "true"])
def test_signup_with_json_that_is_no_object_is_refused(client, body):
    response = client.post("/api/auth/signup", data=body, content_type="application/json")
    assert response.status_code == 422
    assert response.json["errors"] == {"body": ["Invalid input type."]}


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("short", "Must have at least 12 characters."),
        ("x" * 73, "Must have at most 72 bytes"),
        ("é" * 37, "Must have at most 72 bytes"),
        ("passwordpassword", "Repeats like"),
        ("adalovelace1990", ""),
        ("ada@example.com", ""),
        ("qwertyuiop123", ""),
    ],
)
def test_signup_with_a_weak_password_is_refused_with_advice(client, password, told):
    response = sign_up(client, password=password)
    assert response.status_code == 422
    assert list(response.json["errors"]) == ["password"]
    assert told in response.json["errors"]["password"][0]
    assert password not in response.text


@pytest.mark.parametrize(
    "password", [" spaces around it are kept ", "пароль-который-длинный", "🦊🐢🦉🐙🦀🐝🦋🐞🦂🐍🦎🐌"]
)
def test_a_password_is_taken_as_it_was_typed(client, password):
    assert sign_up(client, password=password).status_code == 201
    assert log_in(client, password=password).status_code == 200
    assert log_in(client, password=password.strip() + "x").status_code == 401
