"""Whatever a request brings, it holds the interpreter for no more than 20 ms before anything is known of its sender."""

import base64
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixora.server.reading import MAX_HEAD
from tests.factories import signup_body
from tests.interpreter import MOST_SECONDS, seconds_held

MOST = 16_000
"""Bytes of a body."""

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
MARKS = "a" + "\u0301\u0316" * 3900

SEARCH = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])

PIECES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.sampled_from(
        ["a.", "@", "+", " ", "\u0301\u0316", "ﷺ", "xn--", "-", ";ext=", "+44", "0", "ß", "İ", "\u200d", '"']
    ),
)
LONG = st.builds(lambda begin, piece, end: begin + piece * (MOST // len(piece.encode())) + end, PIECES, PIECES, PIECES)
TEXTS = st.builds(
    lambda text, length: text[:length], LONG, st.sampled_from([30, 50, 100, 254, 320, 400, 4000, 5000])
).filter(lambda text: len(text.encode()) < MOST)


def bodies(most):
    """Return the worst JSON bodies of at most so many bytes, by name."""
    return {
        "unknown fields": "{" + ",".join(f'"{number:x}":0' for number in range(most // 11)) + "}",
        "a name twice": "{" + ",".join('"a":1' for _ in range(most // 6 - 1)) + "}",
        "arrays": "[" * most,
        "arrays that end": "[" * 900 + "]" * 900,
        "objects": '{"a":' * (most // 5),
        "empty objects": "[" + ",".join(["{}"] * (most // 3 - 1)) + "]",
        "small objects": '{"metadata":[' + ",".join(['{"a":{}}'] * (most // 9 - 4)) + "]}",
        "digits": "9" * most,
        "numbers": "[" + ",".join(["9" * 4299] * (most // 4300)) + "]",
        "decimals": "1." + "9" * (most - 2),
        "escapes": '"' + "\\u0000" * (most // 6 - 1) + '"',
        "a text": '{"email":"' + "a" * (most - 12) + '"}',
    }


def forms(most):
    """Return the worst forms of at most so many bytes, by name."""
    return {
        "nothing": "&" * most,
        "unknown": "&".join(f"{number:x}=" for number in range(most // 8)),
        "repeated": "&".join(["a="] * (most // 3)),
        "escapes": "username=" + "%cc%81" * (most // 6 - 2),
        "a text": "username=" + "a" * (most - 9),
    }


def parts(most):
    """Return the worst bodies of several parts of at most so many bytes, by name."""
    return {
        "parts": "".join(f'--b\r\nContent-Disposition: form-data; name="{i}"\r\n\r\n\r\n' for i in range(most // 64))
        + "--b--\r\n",
        "parameters": '--b\r\nContent-Disposition: form-data; name="a"'
        + "; a=b" * (most // 5 - 20)
        + "\r\n\r\n\r\n--b--\r\n",
        "boundaries": "--b" * (most // 3),
        "lines": "\r\n" * (most // 2),
    }


HEADERS = (
    *("Authorization", "If-Match", "If-None-Match", "X-Request-ID", "Accept", "Accept-Language", "Accept-Encoding"),
    *("X-Forwarded-For", "Forwarded", "Cookie", "User-Agent", "Origin", "Range", "Content-Type", "Host", "traceparent"),
    *("X-Forwarded-Proto", "If-Modified-Since", "Via"),
)
LONGEST_HEADER = 8000
"""Characters of a header field, also if it is repeated: the server joins the values, and rejects longer ones."""


@pytest.fixture
def careful_client(make_app):
    """A client of an application with the settings by which headers are read."""
    hosts, origins = ["localhost", "*.example.com"], ["https://app.example.com", "https://*.example.com"]
    cors = {"CORS_ORIGINS": origins, "CORS_ALLOW_HEADERS": [f"X-Header-{number}" for number in range(10)]}
    return make_app(PROXY_COUNT=10, TRUSTED_HOSTS=hosts, **cors).test_client()


def encoded(text):
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def seconds_of(client, path, **request):
    def send():
        response = client.open(path, **request)
        assert response.status_code < 500, response.text

    return seconds_held(send)


@pytest.mark.parametrize("field", ["first_name", "last_name", "email", "contact", "birthday"])
@SEARCH
@given(text=TEXTS)
@example(MARKS)
@example(MARKS[:320])
@example("ﷺ" * 100)
@example("a@" + "a." * 120 + "com")
@example("a@" + "ß." * 60 + "com")
@example("+44 20 7946 0958 " + "x1" * 16)
@example("9" * 50)
def test_no_field_of_a_sign_up_holds_the_interpreter_for_long(client, field, text):
    # Without a password, so that it ends there.
    body = json.dumps(signup_body(**{field: text}, password=""), ensure_ascii=False).encode()
    assert (
        seconds_of(client, "/api/auth/signup", method="POST", data=body, content_type="application/json") < MOST_SECONDS
    )


@pytest.mark.parametrize("path", ["/api/auth/password-reset/confirm", "/api/auth/change-email/confirm"])
@SEARCH
@given(token=TEXTS)
@example("a" * (MOST - 100))
def test_no_token_holds_the_interpreter_for_long(client, path, token):
    body = json.dumps({"token": token, "new_password": "difference-engine-no-2"}, ensure_ascii=False).encode()
    assert seconds_of(client, path, method="POST", data=body, content_type="application/json") < MOST_SECONDS


@pytest.mark.parametrize("most", [MOST, 2**20])
@pytest.mark.parametrize(
    ("path", "kind", "content_type", "name"),
    [
        *(("/api/auth/signup", bodies, "application/json", name) for name in bodies(MOST)),
        *((path, forms, FORM, name) for path in ("/api/auth/login", "/reset-password") for name in forms(MOST)),
        *(("/api/auth/login", parts, MULTIPART, name) for name in parts(MOST)),
    ],
)
def test_no_body_holds_the_interpreter_for_long(make_app, users, path, kind, content_type, name, most):
    """Also where `MAX_CONTENT_LENGTH` is the highest."""
    client, body = make_app(MAX_CONTENT_LENGTH=most).test_client(), kind(most)[name]
    assert most // 10 < len(body) <= most or name == "arrays that end"
    assert seconds_of(client, path, method="POST", data=body, content_type=content_type) < MOST_SECONDS


@pytest.mark.parametrize("name", HEADERS)
@SEARCH
@given(piece=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12))
@example('W/"a", ')
@example("*/*;q=0.1,")
@example('"')
@example("a;")
@example("a:")
@example("a.")
@example("203.0.113.7, ")
@example("[2001:db8::7]:443,")
def test_no_header_holds_the_interpreter_for_long(careful_client, name, piece):
    value = (piece * (LONGEST_HEADER // len(piece))).strip()
    assert seconds_of(careful_client, "/api/users/me", headers={name: value}) < MOST_SECONDS


@pytest.mark.parametrize("piece", ['W/"a", ', "*/*;q=0.1,", '"', "a=b;", "a.", ","])
def test_all_headers_together_do_not_hold_the_interpreter_for_long(careful_client, piece):
    length = MAX_HEAD // len(HEADERS)
    headers = {name: (piece * (length // len(piece))).strip() for name in HEADERS}
    assert seconds_of(careful_client, "/api/users/me", headers=headers) < MOST_SECONDS


@pytest.mark.parametrize("name", ["Access-Control-Request-Headers", "Access-Control-Request-Method", "Origin"])
@SEARCH
@given(piece=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12))
@example(",")
@example("authorization,")
@example("a-")
def test_no_preflight_holds_the_interpreter_for_long(careful_client, name, piece):
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    headers[name] = (piece * (LONGEST_HEADER // len(piece))).strip()
    assert seconds_of(careful_client, "/api/users/me", method="OPTIONS", headers=headers) < MOST_SECONDS


@pytest.mark.parametrize(
    "head", ['{"a":' * 1000, '{"alg":' + "9" * 4299 + "}", '{"alg":"HS256","kid":"' + "k" * 5000 + '"}']
)
def test_no_access_token_holds_the_interpreter_for_long(client, head):
    headers = {"Authorization": f"Bearer {encoded(head)}.e30.e30"}
    assert seconds_of(client, "/api/users/me", headers=headers) < MOST_SECONDS


@pytest.mark.parametrize(
    "path", ["/api/users/" + "%2e" * 1300, "/" + "a/" * 2000, "/" * 4000, "/verify-email?" + "token=&" * 570]
)
def test_no_path_holds_the_interpreter_for_long(client, path):
    assert seconds_of(client, path) < MOST_SECONDS


@pytest.mark.parametrize(("many", "status"), [(100, 422), (101, 413)])
def test_a_form_of_too_many_parameters_is_too_large(client, many, status):
    body = "&".join(f"{number:x}=" for number in range(many))
    assert client.post("/api/auth/login", data=body, content_type=FORM).status_code == status
