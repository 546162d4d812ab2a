import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixora.tokens.refresh import RefreshToken, make

SECRET = "a secret that only the service knows"
SALT = b"0123456789abcdef"
USER, SESSION = "6924a1e0c3f1a2b4d5e6f708", "9f3c51a07be24d68c0a1f2e3"

ids = st.binary(min_size=12, max_size=12).map(bytes.hex)
generations = st.integers(0, 2**32 - 1)


@given(ids, ids, generations, st.text(), st.binary(max_size=32))
def test_a_token_says_what_it_was_made_of_and_is_genuine(user, session, generation, secret, salt):
    secret = secret.encode("utf-8", "replace").decode()
    token = RefreshToken.parse(make(user, session, generation, secret, salt))
    assert token[:3] == (user, session, generation)
    assert token.is_genuine(secret, salt)


def test_a_token_is_the_same_each_time_it_is_made():
    assert make(USER, SESSION, 7, SECRET, SALT) == make(USER, SESSION, 7, SECRET, SALT)


@pytest.mark.parametrize(
    ("secret", "salt"), [("another secret", SALT), (SECRET, b"another salt"), ("", SALT), (SECRET, b"")]
)
def test_a_token_is_not_genuine_under_another_secret_or_salt(secret, salt):
    assert not RefreshToken.parse(make(USER, SESSION, 7, SECRET, SALT)).is_genuine(secret, salt)


@given(st.integers(0, 479))
def test_a_token_with_one_flipped_bit_is_not_genuine(bit):
    data = bytearray(base64.urlsafe_b64decode(make(USER, SESSION, 7, SECRET, SALT)))
    data[bit // 8] ^= 1 << bit % 8
    assert not RefreshToken.parse(base64.urlsafe_b64encode(data).decode()).is_genuine(SECRET, SALT)


@given(st.text() | st.text(alphabet="ABCabc019-_=+/", min_size=78, max_size=82))
def test_any_text_is_a_token_of_one_spelling_or_none(text):
    token = RefreshToken.parse(text)
    if token is not None:
        message = bytes.fromhex(token.user_id + token.session_id) + token.generation.to_bytes(4) + token.mac
        assert base64.urlsafe_b64encode(message).decode() == text


@pytest.mark.parametrize(
    "change",
    [lambda token: token + "=", lambda token: token + "\n", lambda token: " " + token[1:], lambda token: token[:-1]],
)
def test_a_token_has_no_other_spelling(change):
    assert RefreshToken.parse(change(make(USER, SESSION, 7, SECRET, SALT))) is None
