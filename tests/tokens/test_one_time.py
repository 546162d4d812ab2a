import string

import pytest

from pixora.clock import utcnow
from pixora.errors import InvalidOneTimeToken
from pixora.tokens.one_time import OneTimeToken, Purpose

USER = "6924a1e0c3f1a2b4d5e6f708"
ALPHABET = string.ascii_letters + string.digits + "-_"


def test_a_token_is_59_characters_that_a_link_can_carry_as_they_are():
    text = OneTimeToken.make(USER).text
    assert len(text) == 59
    assert set(text) <= set(ALPHABET)


def test_a_token_says_whose_it_is_and_has_a_secret_of_256_bits():
    token = OneTimeToken.make(USER)
    assert OneTimeToken.parse(token.text) == token == (USER, token.secret)
    assert len(token.secret) == 32


def test_no_two_tokens_are_the_same():
    assert len({OneTimeToken.make(USER).text for _ in range(100)}) == 100


def test_what_is_stored_of_a_token_is_neither_the_token_nor_its_secret():
    token = OneTimeToken.make(USER)
    record = token.record(Purpose.CHANGE_EMAIL, utcnow(), email="new@example.com")
    assert set(record) == {"hash", "expires_at", "email"}
    assert len(record["hash"]) == 32
    assert record["hash"] != token.secret


def test_each_purpose_has_a_hash_of_its_own():
    token = OneTimeToken.make(USER)
    assert len({token.digest(purpose) for purpose in Purpose}) == len(Purpose)


def test_a_token_has_one_spelling():
    text = OneTimeToken.make(USER).text
    understood = []
    for last in ALPHABET:
        try:
            understood.append(OneTimeToken.parse(text[:-1] + last).text)
        except InvalidOneTimeToken as error:
            assert error.reason == "malformed"
    assert len(understood) == len(set(understood)) == 16


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text + "A",
        lambda text: "+" + text[1:],
        lambda text: "é" + text[1:],
        lambda text: "\0" * 59,
        lambda text: "x" * 100_000,
    ],
)
def test_what_is_no_token_is_malformed(change):
    with pytest.raises(InvalidOneTimeToken) as caught:
        OneTimeToken.parse(change(OneTimeToken.make(USER).text))
    assert caught.value.reason == "malformed"
