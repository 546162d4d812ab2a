import contextlib

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixora.passwords import verify
from pixora.passwords.verify import (
    CorruptHash,
    Price,
    cost,
    dummy_hash,
    hash_password,
    kind,
    scheme,
    units,
    verify_password,
)
from tests.factories import ARGON2ID, FOREIGN_HASHES, HASH_2B, PASSWORD

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
def test_what_is_no_hash_is_corrupt(stored):
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
        "pixora.passwords.verify.bcrypt.checkpw",
        lambda *args: done.append(2 ** (int(args[1][4:6]) - 4)) or check(*args),
    )
    return done


@pytest.mark.parametrize("stored", [None, 4, 5, 6, 7])
@pytest.mark.parametrize("password", ["wrong", "x" * 73])
def test_a_wrong_password_takes_as_long_as_one_of_the_refusal_cost_whatever_is_stored(work, stored, password):
    hashed = stored and hash_password(PASSWORD, stored)
    assert not verify_password(password, hashed, 7)
    assert sum(work) == 2 ** (7 - 4)


def test_a_right_password_takes_as_long_as_its_own_hash(work):
    assert verify_password(PASSWORD, hash_password(PASSWORD, 4), 7)
    assert work == [1]


@pytest.mark.parametrize("stored", FOREIGN_HASHES)
def test_a_foreign_hash_verifies_its_password_and_no_other(stored):
    assert verify_password(PASSWORD, stored)
    assert not verify_password("wrong", stored)


def test_the_kind_of_a_hash_is_its_cost_or_scheme_and_parameters():
    assert [kind(HASH_2B), scheme(HASH_2B), cost(HASH_2B)] == [4, "bcrypt", 4]
    assert [kind(ARGON2ID), scheme(ARGON2ID), cost(ARGON2ID)] == ["argon2id v=19$m=64,t=1,p=1", "argon2id", 0]


@pytest.fixture
def priced(monkeypatch):
    """Say what a check of the foreign hash costs, in the units of `work`; it takes no time to speak of."""

    def price(units):
        monkeypatch.setattr(verify, "_prices", {kind(ARGON2ID): Price(0.0, units * 2**4)})

    return price


@pytest.mark.parametrize(("costs", "padding"), [(3, 5), (7, 1), (8, 0), (20, 0)])
def test_a_wrong_password_for_a_foreign_hash_takes_as_long_as_one_of_the_refusal_cost(work, priced, costs, padding):
    priced(costs)
    assert not verify_password("wrong", ARGON2ID, 7)
    assert sum(work) == padding


def test_what_a_foreign_hash_costs_is_measured_when_the_first_of_its_kind_is_met(work, monkeypatch):
    monkeypatch.setattr(verify, "_prices", {})
    verify_password(PASSWORD, ARGON2ID, 4)
    assert verify._prices == {}
    verify_password("wrong", ARGON2ID, 4)
    [price] = verify._prices.values()
    assert price.seconds > 0
    assert 0 < price.units < 2**10  # a thirtieth of a megabyte against bcrypt's cost 10: on any machine less
    measured = len(work)
    verify_password("wrong", ARGON2ID, 4)
    assert len(work) <= measured + 1


@pytest.mark.parametrize("stored", [HASH_2B, ARGON2ID], ids=["bcrypt", "argon2id"])
def test_a_right_password_that_is_refused_takes_as_long_as_a_wrong_one(work, priced, stored):
    priced(2)
    assert not verify_password("wrong", stored, 7)
    wrong = sum(work)
    work.clear()
    assert not verify_password(PASSWORD, stored, 7, is_enabled=False)
    assert sum(work) == wrong == (6 if stored == ARGON2ID else 8)


@pytest.mark.parametrize(
    "stored",
    [HASH_2B.replace("OOQ5EOvO", "OOQ5EPvO"), HASH_2B[:-1] + "f", HASH_2B + "\n"],
    ids=["salt", "digest", "end"],
)
def test_a_hash_with_stray_bits_is_corrupt(stored):
    with pytest.raises(CorruptHash):
        verify_password(PASSWORD, stored)


def test_the_work_of_a_hash_is_that_of_bcrypt_or_measured(priced):
    priced(3)
    assert [units(HASH_2B), units(ARGON2ID)] == [2**4, 3 * 2**4]
