import contextlib

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixora.passwords import verify
from pixora.passwords.verify import (
    CorruptHash,
    MeasuredCost,
    cost,
    dummy_hash,
    hash_password,
    kind,
    scheme,
    units,
    verify_password,
)
from tests.factories import ARGON2ID, HASH_2B, PASSWORD, PHC_HASHES

BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@settings(max_examples=30)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=18), st.text(max_size=18))
def test_a_hash_verifies_its_password_and_no_other(password, other):
    stored = hash_password(password, 4)
    assert verify_password(password, stored)
    if "\0" not in other and not any("\ud800" <= character <= "\udfff" for character in other):
        assert verify_password(other, stored) == (other == password)


def test_a_hash_has_the_requested_cost():
    assert cost(hash_password("x", 5)) == 5


def test_a_password_of_over_72_bytes_verifies_nothing():
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert verify_password("x" * 72, stored)
    assert not verify_password("x" * 73, stored)


@pytest.mark.parametrize(
    "stored", [1, b"$2b$", "", "$2b$04$", "$1$abc", "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"]
)
def test_a_value_that_is_not_a_hash_is_corrupt(stored):
    with pytest.raises(CorruptHash):
        verify_password("x", stored)


@pytest.mark.parametrize("rounds", ["00", "03", "17", "31", "99"])
def test_a_hash_of_an_absurd_cost_is_corrupt_and_not_computed(rounds):
    with pytest.raises(CorruptHash):
        verify_password("x", f"$2b${rounds}${'a' * 53}")


@settings(max_examples=50)
@given(st.sampled_from(["2a", "2b", "2y"]), st.text(BCRYPT_ALPHABET, min_size=53, max_size=53))
def test_any_well_formed_hash_is_wrong_or_corrupt_and_nothing_else(prefix, rest):
    with contextlib.suppress(CorruptHash):
        assert verify_password("x", f"${prefix}$04${rest}") is False


@pytest.mark.parametrize("password", ["", "x", PASSWORD])
def test_no_password_matches_the_dummy_hash(password):
    assert cost(dummy_hash(5)) == 5
    assert verify_password(password, dummy_hash(4)) is False


@pytest.fixture
def work(monkeypatch):
    """The work of each bcrypt check; one of cost 4 counts 1."""
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


def test_the_correct_password_takes_as_long_as_its_own_hash(work):
    assert verify_password(PASSWORD, hash_password(PASSWORD, 4), 7)
    assert work == [1]


@pytest.mark.parametrize("stored", PHC_HASHES)
def test_a_phc_hash_verifies_its_password_and_no_other(stored):
    assert verify_password(PASSWORD, stored)
    assert not verify_password("wrong", stored)


def test_the_kind_of_a_hash_is_its_cost_or_scheme_and_parameters():
    assert [kind(HASH_2B), scheme(HASH_2B), cost(HASH_2B)] == [4, "bcrypt", 4]
    assert [kind(ARGON2ID), scheme(ARGON2ID), cost(ARGON2ID)] == ["argon2id v=19$m=64,t=1,p=1", "argon2id", 0]


@pytest.fixture
def set_cost(monkeypatch):
    """Set the cost of the Argon2id hash, in the units of `work`."""

    def set_cost(units):
        monkeypatch.setattr(verify, "_measured", {kind(ARGON2ID): MeasuredCost(0.0, units * 2**4)})

    return set_cost


@pytest.mark.parametrize(("costs", "padding"), [(3, 5), (7, 1), (8, 0), (20, 0)])
def test_a_wrong_password_for_a_phc_hash_takes_as_long_as_one_of_the_refusal_cost(work, set_cost, costs, padding):
    set_cost(costs)
    assert not verify_password("wrong", ARGON2ID, 7)
    assert sum(work) == padding


def test_the_cost_of_a_phc_hash_is_measured_at_the_first_refusal(work, monkeypatch):
    monkeypatch.setattr(verify, "_measured", {})
    verify_password(PASSWORD, ARGON2ID, 4)
    assert verify._measured == {}
    verify_password("wrong", ARGON2ID, 4)
    [measured] = verify._measured.values()
    assert measured.seconds > 0
    assert 0 < measured.units < 2**10  # 64 KiB of Argon2id take less than bcrypt of cost 10 on any machine
    checks = len(work)
    verify_password("wrong", ARGON2ID, 4)
    assert len(work) <= checks + 1


@pytest.mark.parametrize("stored", [HASH_2B, ARGON2ID], ids=["bcrypt", "argon2id"])
def test_a_refused_correct_password_takes_as_long_as_a_wrong_one(work, set_cost, stored):
    set_cost(2)
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
def test_a_hash_with_unused_bits_set_is_corrupt(stored):
    with pytest.raises(CorruptHash):
        verify_password(PASSWORD, stored)


def test_the_work_of_a_hash_is_known_for_bcrypt_and_measured_for_others(set_cost):
    set_cost(3)
    assert [units(HASH_2B), units(ARGON2ID)] == [2**4, 3 * 2**4]
