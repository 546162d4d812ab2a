import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixora.errors import MalformedBody
from pixora.web.bodies import MAX_DEPTH, MAX_FIELDS, MAX_MULTIPART, MAX_PIECES, loads
from tests.factories import PASSWORD, signup_body


def post(client, data, **headers):
    return client.post("/api/auth/signup", data=data, headers={"Content-Type": "application/json"} | headers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\n"}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b"[" * 16000,
        b'{"a":' * 3000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_malformed_json_gets_400(client, body):
    response = post(client, body)
    assert response.status_code == 400
    assert response.json["code"] == "malformed_body"


@pytest.mark.parametrize("body", [b"[" * 16_000, b'{"a":' * 16_000, b"[" * 16_000 + b"]" * 16_000])
def test_deeply_nested_json_gets_400(make_app, body):
    response = post(make_app(MAX_CONTENT_LENGTH=10**6).test_client(), body)
    assert response.status_code == 400
    assert response.json["code"] == "malformed_body"


@pytest.mark.parametrize(("number", "status"), [(MAX_PIECES, 422), (MAX_PIECES + 1, 413)])
@pytest.mark.parametrize("value", ["0", "[]", "{}"])
def test_json_of_too_many_values_gets_413(make_app, number, status, value):
    each = 1 if value == "0" else 2  # a comma, and the bracket of a value
    numbers = ["0"] * (number - (number - 1) // each * each)  # the array itself counts, and needs no comma
    values = [value] * ((number - 1) // each)
    body = "[" + ",".join([*values, *numbers]) + "]"
    assert body.count(",") + body.count("[") + body.count("{") == number
    response = post(make_app(MAX_CONTENT_LENGTH=10**6).test_client(), body)
    assert response.status_code == status
    assert response.json["code"] == ("validation_failed" if status == 422 else "payload_too_large")


def test_up_to_100_unknown_fields_are_named(client):
    fields = dict.fromkeys(map(str, range(MAX_FIELDS)), 0)
    named = post(client, json.dumps(fields)).json["errors"]
    assert {name for name, messages in named.items() if messages == ["Unknown field."]} == fields.keys()
    refused = post(client, json.dumps(fields | {"one more": 0}))
    assert (refused.status_code, refused.json["errors"]) == (422, {"body": ["Must have at most 100 fields."]})


@pytest.mark.parametrize(("number", "status"), [(MAX_PIECES, 422), (MAX_PIECES + 1, 413)])
def test_a_form_of_too_many_escapes_gets_413(make_app, number, status):
    client = make_app(MAX_CONTENT_LENGTH=10**6).test_client()
    form = {"data": "username=" + "%61" * number, "content_type": "application/x-www-form-urlencoded"}
    assert client.post("/api/auth/login", **form).status_code == status


@pytest.mark.parametrize(("length", "status"), [(MAX_MULTIPART, 422), (MAX_MULTIPART + 1, 413)])
def test_a_large_multipart_form_gets_413(make_app, length, status):
    client = make_app(MAX_CONTENT_LENGTH=10**6).test_client()
    begin, end = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n', b"\r\n--b--\r\n"
    body = begin + b"x" * (length - len(begin + end)) + end
    assert (
        client.post("/api/auth/login", data=body, content_type="multipart/form-data; boundary=b").status_code == status
    )


@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
def test_json_of_up_to_100_levels_is_read_whatever_the_version_of_python(pair):
    opening, closing = pair

    def nested(levels):
        return (opening * levels + "[]" + closing * levels).encode()

    assert loads(nested(MAX_DEPTH - 1)) == json.loads(nested(MAX_DEPTH - 1))
    for levels in (MAX_DEPTH, 200, 900):
        with pytest.raises(MalformedBody):
            loads(nested(levels))
    assert loads(b"[" + b"[],{}," * 1_000 + b"1]")[-1] == 1


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:.0123456789eENaIfntrulsI- \\u', max_size=200).map(str.encode))
def test_bytes_decode_as_by_the_json_module_or_are_malformed(data):
    try:
        decoded = loads(data)
    except MalformedBody:
        return
    assert decoded == json.loads(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_encoded_json_decodes_to_the_same_value(value):
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data"],
)
def test_sign_up_rejects_other_media_types_than_json(client, media_type):
    response = client.post("/api/auth/signup", data=json.dumps(signup_body()), headers={"Content-Type": media_type})
    assert response.status_code == 415
    assert response.json["code"] == "unsupported_media_type"


def test_a_charset_parameter_is_accepted_with_json(client):
    response = client.post(
        "/api/auth/signup", data=json.dumps(signup_body()), content_type="application/json; charset=utf-8"
    )
    assert response.status_code == 201


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "x"])
def test_a_compressed_body_is_rejected(client, coding):
    response = post(client, b"{}", **{"Content-Encoding": coding})
    assert response.status_code == 415


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/json", "application/octet-stream"])
def test_login_rejects_other_media_types_than_forms(client, media_type):
    response = client.post(
        "/api/auth/login", data=f"username=a&password={PASSWORD}", headers={"Content-Type": media_type}
    )
    assert response.status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [
        ("POST", "/api/auth/signup", "application/json"),
        ("POST", "/api/auth/login", "application/x-www-form-urlencoded"),
        ("POST", "/api/auth/login", "multipart/form-data; boundary=x"),
        ("POST", "/nowhere", "application/json"),
        ("GET", "/api/users/me", "application/json"),
        ("GET", "/", "text/plain"),
    ],
)
def test_a_body_over_the_limit_gets_413_on_every_route(client, method, path, media_type):
    response = client.open(path, method=method, data=b"x" * 16385, content_type=media_type)
    assert response.status_code == 413
    assert response.json["code"] == "payload_too_large"


def test_a_body_at_the_limit_is_accepted(client):
    response = post(client, json.dumps(signup_body()).encode().ljust(16384))
    assert response.status_code == 201


@pytest.mark.parametrize("body", [b"username=%ff&password=x", b"username=\xff&password=x", b"username=a&password=%c3"])
def test_a_form_that_is_not_utf_8_is_malformed(client, body):
    response = client.post("/api/auth/login", data=body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 400
    assert response.json["code"] == "malformed_body"


@pytest.mark.parametrize("media_type", ["multipart/form-data", "multipart/form-data; boundary=other"])
@pytest.mark.parametrize(
    "body",
    [
        b"username=a&password=x",
        b'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\na',
        b'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\n\xff\r\n--b--\r\n',
    ],
)
def test_a_broken_multipart_body_is_malformed(client, media_type, body):
    response = client.post("/api/auth/login", data=body, content_type=media_type)
    assert response.status_code == 400
    assert response.json["code"] == "malformed_body"
