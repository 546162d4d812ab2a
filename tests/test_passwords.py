import contextlib

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixora.passwords import (
    CorruptHash,
    PasswordRejected,
    check_policy,
    cost,
    dummy_hash,
    hash_password,
    verify_password,
)
from tests.factories import PASSWORD

BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=18), st.text(max_size=18))
def test_a_hash_verifies_its_password_and_no_other(password, other):
    stored = hash_password(password, 4)
    assert verify_password(password, stored)
    if "\0" not in other and not any("\ud800" <= character <= "\udfff" for character in other):
        assert verify_password(other, stored) == (other == password)


def test_a_hash_has_the_cost_it_was_asked_for():
    assert cost(hash_password("x", 5)) == 5


def test_a_password_of_over_72_bytes_verifies_nothing():
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert verify_password("x" * 72, stored)
    assert not verify_password("x" * 73, stored)


@pytest.mark.parametrize(
    "stored", [1, b"$2b$", "", "$2b$04$", "$1$abc", "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"]
)
def test_what_is_no_bcrypt_hash_is_corrupt(stored):
    with pytest.raises(CorruptHash):
        verify_password("x", stored)


@pytest.mark.parametrize("rounds", ["00", "03", "17", "31", "99"])
def test_a_hash_of_an_absurd_cost_is_corrupt_and_not_computed(rounds):
    with pytest.raises(CorruptHash):
        verify_password("x", f"$2b${rounds}${'a' * 53}")


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["2a", "2b", "2y"]), st.text(BCRYPT_ALPHABET, min_size=53, max_size=53))
def test_any_well_formed_hash_is_wrong_or_corrupt_and_nothing_else(prefix, rest):
    with contextlib.suppress(CorruptHash):
        assert verify_password("x", f"${prefix}$04${rest}") is False


@pytest.mark.parametrize("password", ["", "x", PASSWORD])
def test_the_dummy_hash_has_its_cost_and_no_password(password):
    assert cost(dummy_hash(5)) == 5
    assert verify_password(password, dummy_hash(4)) is False


@pytest.fixture
def work(monkeypatch):
    """The work of the checks that bcrypt is asked for, in units of the cheapest."""
    done, check = [], bcrypt.checkpw
    monkeypatch.setattr(
        "pixora.passwords.bcrypt.checkpw", lambda *args: done.append(2 ** (int(args[1][4:6]) - 4)) or check(*args)
    )
    return done


@pytest.mark.parametrize("stored", [None, 4, 5, 6, 7])
@pytest.mark.parametrize("password", ["wrong", "x" * 73])
def test_a_wrong_password_takes_as_long_as_one_of_the_usual_cost_whatever_is_stored(work, stored, password):
    hashed = stored and hash_password(PASSWORD, stored)
    assert not verify_password(password, hashed, 7)
    assert sum(work) == 2 ** (7 - 4)


def test_a_right_password_takes_as_long_as_its_own_hash(work):
    assert verify_password(PASSWORD, hash_password(PASSWORD, 4), 7)
    assert work == [1]


def test_a_strong_password_passes():
    check_policy("difference-engine-no-2", 12, ["Ada"])


@pytest.mark.parametrize("word", ["Wilhelmina Zyrtquavistmolk", "wilhelmina.zyrtquavistmolk@example.com"])
def test_a_password_made_of_what_is_known_of_the_user_is_refused(word):
    check_policy("zyrtquavistmolk", 12)
    with pytest.raises(PasswordRejected):
        check_policy("zyrtquavistmolk", 12, [word])


def test_the_length_counts_characters_and_the_limit_bytes():
    check_policy("🦊🐢🦉🐙🦀🐝🦋🐞🦂🐍🦎🐌", 12)
    with pytest.raises(PasswordRejected, match="12 characters"):
        check_policy("🦊🐢🦉🐙🦀🐝🦋🐞🦂🐍🦎", 12)
    with pytest.raises(PasswordRejected, match="72 bytes"):
        check_policy("🦊🐢🦉🐙🦀🐝🦋🐞🦂🐍🦎🐌🐘🦜🐳🦔🐲🦖🐧", 12)


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=72),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
)
def test_the_policy_has_an_opinion_on_every_text(password, words):
    try:
        check_policy(password, 1, words)
    except PasswordRejected as error:
        assert error.messages
        assert all(error.messages)
