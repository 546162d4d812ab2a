"""Every field of every operation in the OpenAPI document holds the interpreter for 20 ms at most, whatever is in it.

The operations, parameters and fields are read from the document, so a new route cannot be forgotten. Each place is
tried with every bad value in a request that is right otherwise, so that what comes after the validation runs as well.
"""

import base64
import json
import re
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, urlencode

import jwt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pixora.pages.forms import FORMS
from tests.conftest import make_account
from tests.factories import PASSWORD, SERVICE, SERVICE_KEY, log_in
from tests.factors.conftest import code_of
from tests.interpreter import MOST_SECONDS, seconds_held
from tests.oauth.conftest import basic
from tests.passkeys.authenticator import Authenticator

JSON = "application/json"
MOST_BYTES = {"body": 15_000, "header": 7_900, "query": 3_900, "path": 3_900}
"""The longest value that fits into each part of a request."""

PIECES = {
    "combining marks": "\u0301\u0316",
    "ligatures of 18 letters": "\ufdfa",
    "domains": "a.",
    "at signs": "a@",
    "digits": "9",
    "spaces": " ",
    "escapes": "%cc%81",
    "tags of entities": '"a", ',
    "JSON arrays in base64": "W1tb",
    "CBOR arrays in base64": "gYGB",
    "NUL": "\0",
}
"""What bad texts consist of."""

LENGTHS = 48, 320, None
"""Characters of a text: where a parser may begin to work, and as many as fit. Each place gets pieces of each length,
but not every piece of each, which would take a minute; the search does the rest."""

STRUCTURES: dict[str, Any] = {
    "texts": [""] * 4_900,
    "numbers": [0] * 7_400,
    "objects": [{}] * 4_900,
    "members": {f"{number:x}": 0 for number in range(1_500)},
    "a long number": int("9" * 4_299),
    "arrays in arrays": json.loads("[" * 300 + "]" * 300),
    "objects in objects": json.loads('{"a":' * 300 + "0" + "}" * 300),
}

SEARCH = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
RANDOM_PIECES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8) | st.sampled_from(
    [*PIECES.values()]
)
LENGTH = st.sampled_from([16, 32, 50, 100, 254, 320, 400, 1_400, 5_500, None])


class Place(NamedTuple):
    """Where a request can have a value: the operation, the part of the request, and the field in it."""

    method: str
    path: str
    part: str
    field: tuple[str, ...]


def places_of(document):
    """Return every place of the document; `[]` stands for the item of a list, `{}` for a member of a free object."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            for parameter in [*item.get("parameters", []), *operation.get("parameters", [])]:
                yield Place(method, path, parameter["in"], (parameter["name"],))
            if "/api/" in path:
                yield Place(method, path, "header", ("Authorization",))
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for field in fields_of(content["schema"], document):
                    yield Place(method, path, "body", field)


def fields_of(schema, document, prefix=()):
    yield prefix
    for inner in schema.get("allOf", []):
        yield from fields_of(inner, document, prefix)
    if "$ref" in schema:
        yield from fields_of(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, prefix)
    for name, inner in schema.get("properties", {}).items():
        yield from fields_of(inner, document, (*prefix, name))
    if "items" in schema:
        yield from fields_of(schema["items"], document, (*prefix, "[]"))
    if schema.get("additionalProperties") is True and "properties" not in schema:
        yield (*prefix, "{}")


def replaced(body, field, value):
    """Return a body with another value in a field."""
    if not field:
        return value
    name, *rest = field
    if name == "[]":
        return [replaced({}, rest, value)]
    if name == "{}":
        return {value: value} if isinstance(value, str) and len(value) < 1_000 else {"a": value}
    body = body if isinstance(body, dict) else {}
    return body | {name: replaced(body.get(name), rest, value)}


@pytest.fixture(scope="module")
def document(session_app):
    """The OpenAPI document, with the pages, which it does not describe."""
    document = session_app.test_client().get("/openapi.json").json
    document["paths"] |= {form.path: described(form) for form in FORMS.values()}
    return document


def described(form):
    """Describe the form of a page as OpenAPI would."""
    names = list(form.schema().fields)
    sent = {"schema": {"properties": {name: {} for name in names}}, "example": dict.fromkeys(names, "x")}
    parameters = [{"in": "query", "name": "token"}, {"in": "header", "name": "Accept-Language"}]
    content = {"application/x-www-form-urlencoded": sent}
    return {
        "get": {"parameters": parameters, "security": []},
        "post": {"parameters": parameters[1:], "security": [], "requestBody": {"content": content}},
    }


@pytest.fixture(scope="module")
def places(document):
    return list(dict.fromkeys(places_of(document)))


@pytest.fixture
def right(client, users):
    """Values that are right, by the name of the field, and credentials, by the route that takes them."""
    account, other = make_account(client), make_account(client, email="grace@example.com")
    users.update_many({}, {"$set": {"roles": ["user", "admin"], "email_verified": True}})
    totp = "/api/users/me/factors/totp"
    secret = client.post(totp, headers=other.bearer).json["secret"]
    assert client.post(f"{totp}/confirm", json={"code": code_of(secret)}, headers=other.bearer).status_code == 200
    authenticator, passkeys, login = Authenticator(), "/api/users/me/passkeys", "/api/auth/passkeys/login"
    options = client.post(f"{passkeys}/options", headers=account.bearer).json
    created = client.post(passkeys, json={"credential": authenticator.create(options)}, headers=account.bearer)
    assert created.status_code == 201, created.text

    def signed():
        return authenticator.get(client.post("/api/auth/passkeys/options").json)

    grant = client.post(login, json={"credential": signed()}).json  # a session at the best level
    account = account._replace(token=grant["access_token"], refresh_token=grant["refresh_token"])
    return {
        "bearer": account.bearer,
        "username": account.email,
        "password": PASSWORD,
        "current_password": PASSWORD,
        "refresh_token": account.refresh_token,
        "mfa_token": log_in(client, other.email).json["mfa_token"],
        "user_id": account.id,
        "passkey_id": created.json["id"],
        "session_id": jwt.decode(account.token, options={"verify_signature": False})["sid"],
        passkeys: Authenticator().create(client.post(f"{passkeys}/options", headers=account.bearer).json),
        login: signed(),
    }


@pytest.fixture
def assert_fast(client, users, document, right):
    """Check how long a request holds the interpreter that has a value in a place, all else being right."""
    state = list(users.find())

    def assert_fast(place, value):
        path, options = request_of(document, place, value, right)
        statuses = set()

        def send():
            response = client.open(path, **options)
            assert response.status_code < 500, (place, response.text)
            assert response.status_code != 413, f"{place} was not read"
            statuses.add(response.status_code)

        assert seconds_held(send) < MOST_SECONDS, place
        if min(statuses) < 400 and place.method != "get":
            users.delete_many({})
            users.insert_many(state)

    return assert_fast


def request_of(document, place, value, right):
    """Return the path of a request and the options with which the client sends it."""
    operation = document["paths"][place.path][place.method]
    [(media_type, content)] = operation.get("requestBody", {}).get("content", {None: {}}).items()
    body = {name: right.get(name, example) for name, example in content.get("example", {}).items()}
    if "credential" in body:
        body["credential"] = right[place.path]
    is_for_services = any("ServiceKey" in scheme for scheme in operation["security"])
    parts = {
        "path": {name: right[name] for name in re.findall(r"{(\w+)}", place.path)},
        "query": {},
        "header": basic(SERVICE, SERVICE_KEY) if is_for_services else right["bearer"],
        "body": body,
    }
    parts[place.part] = replaced(parts[place.part], place.field, value)
    options = {"method": place.method, "query_string": parts["query"], "headers": parts["header"]}
    if media_type == JSON:
        options |= {"data": compact(parts["body"]), "content_type": JSON}
    elif media_type:
        options |= {"data": urlencode(parts["body"]), "content_type": media_type}
    return place.path.format_map({name: quote(given, safe="") for name, given in parts["path"].items()}), options


def compact(body):
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def takes_json(place, document):
    content = document["paths"][place.path][place.method].get("requestBody", {}).get("content", {})
    return place.part == "body" and JSON in content


def fill(piece, length, place, document):
    """Return a text of a piece for a place: of so many characters, or as long as fits; None if it cannot be sent."""
    if place.part == "header":
        if not piece.isascii() or "\0" in piece:
            return None
        filled = (piece * (MOST_BYTES["header"] // len(piece)))[:length]
        credentials = base64.b64encode(filled.encode() if ":" in filled else f"{filled}:{filled}".encode()).decode()
        return f"Basic {credentials[: MOST_BYTES['header']]}" if place.field == ("Authorization",) else filled.strip()
    encoded = json.dumps(piece, ensure_ascii=False)[1:-1].encode() if takes_json(place, document) else quote_plus(piece)
    return (piece * (MOST_BYTES[place.part] // len(encoded)))[:length]


def test_the_document_has_places_of_every_kind(places):
    assert {place.part for place in places} == {"path", "query", "header", "body"}
    assert len(places) > 150
    assert Place("post", "/api/users/me/passkeys", "body", ("credential", "response", "attestationObject")) in places
    assert Place("get", "/api/admin/users", "query", ("created_after",)) in places
    assert Place("patch", "/api/users/me", "body", ("metadata", "{}")) in places
    assert Place("post", "/reset-password", "body", ("new_password",)) in places


@pytest.mark.parametrize("piece", PIECES)
def test_no_text_in_any_place_holds_the_interpreter_for_long(places, document, assert_fast, piece):
    for number, place in enumerate(places, list(PIECES).index(piece)):
        text = fill(PIECES[piece], LENGTHS[number % len(LENGTHS)], place, document)
        if place.field and text is not None:
            assert_fast(place, text)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_no_structure_in_any_place_holds_the_interpreter_for_long(places, document, assert_fast, structure):
    for place in places:
        if takes_json(place, document):
            assert_fast(place, STRUCTURES[structure])


@SEARCH
@given(data=st.data())
def test_no_text_that_hypothesis_finds_holds_the_interpreter_for_long(places, document, assert_fast, data):
    place = data.draw(st.sampled_from([place for place in places if place.field]))
    text = fill(data.draw(RANDOM_PIECES), data.draw(LENGTH), place, document)
    assume(text)
    assert_fast(place, text)
