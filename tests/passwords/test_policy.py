"""What the policy accepts, and how long it may take."""

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from zxcvbn_rs_py import zxcvbn

from pixora.passwords import strength
from pixora.passwords.policy import PasswordRejected, check_length, check_strength, known_words
from tests.interpreter import MOST_SECONDS, seconds_held


def words_of(first_name, last_name, email):
    return known_words({"first_name": first_name, "last_name": last_name, "email": email})


ADA = words_of("Ada", "Quill", "ada.quill@example.com")
LEET = ("4@8({[</369&#!1/|0$5+7%2/" * 4)[:72]
EVERY_SYMBOL = ("4@8({[<369!1|0$5+7%2" * 4)[:72]
MANY_NAMES = words_of(" ".join(map(chr, range(97, 147))), "é ï " * 25, ".".join("abcdefghij" * 12) + "@example.com")


def test_a_strong_password_passes():
    check_strength("difference-engine-no-2", ["Ada"])


@pytest.mark.parametrize("word", ["Wilhelmina Zyrtquavistmolk", "wilhelmina.zyrtquavistmolk@example.com"])
def test_a_password_made_of_the_names_or_address_of_the_user_is_refused(word):
    check_strength("zyrtquavistmolk")
    with pytest.raises(PasswordRejected):
        check_strength("zyrtquavistmolk", [word])


@pytest.mark.parametrize(
    "password",
    [
        "Ada Quill ada0",
        "ADA-quill_ada.QUILL/2024",
        "adaquilladaquill19901210",
        "0a1d2a3q4u5i6l7l8a9d0a1q2u3i4l5l",
        "quill@example.com, Ada!",
        "Àdá Qüíll ädâ ｑｕｉｌｌ",
        "Ada 73920174839201748",
        "4da-Qu1ll-4da-9",
        "adA lliuQ 1990 ada",
        "@d4 Qu!|l 4d@ +2024",
        "Qui77 4dA 11iuQ 2024",
        "ADA QU1LL 4-d-4 1990",
    ],
)
def test_a_password_made_of_names_digits_and_separators_alone_is_refused_whatever_its_score(password):
    with pytest.raises(PasswordRejected):
        check_strength(password, ADA)


@pytest.mark.parametrize(
    "password",
    [
        "Ada Quill's teapot",
        "quilladamantine73",
        "ada4 mossy kettles",
        "4821-9077-3316-5524",
        "4da Qu1ll t3apot",
        "adama lliuqtine73",
        "4d4-9u1 k3ttl3s",
    ],
)
def test_a_password_of_more_than_names_is_left_to_zxcvbn(password):
    assert int(zxcvbn(password, []).score) == 4
    check_strength(password, ADA)


def test_names_match_without_accents_and_in_any_case():
    with pytest.raises(PasswordRejected, match="alone"):
        check_strength("zyrtquavistmolk jose STRASSE", words_of("José", "Zyrtquavistmolk Straße", "j@example.com"))


def test_the_minimum_counts_characters_and_the_maximum_bytes():
    check_length("🦊🐢🦉🐙🦀🐝🦋🐞🦂🐍🦎🐌", 12)
    with pytest.raises(PasswordRejected, match="12 characters"):
        check_length("🦊🐢🦉🐙🦀🐝🦋🐞🦂🐍🦎", 12)
    with pytest.raises(PasswordRejected, match="72 bytes"):
        check_length("🦊🐢🦉🐙🦀🐝🦋🐞🦂🐍🦎🐌🐘🦜🐳🦔🐲🦖🐧", 12)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=72),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
)
def test_every_text_is_accepted_or_refused_with_a_message(password, words):
    try:
        check_strength(password, words)
    except PasswordRejected as error:
        assert error.messages
        assert all(error.messages)


@pytest.mark.parametrize("password", ["1234567890!@#$%^&*()" * 2, "80$7oN147258369" * 3, LEET])
def test_another_process_returns_the_same_score_and_advice(password):
    assert strength._work(password) > strength.MAX_WORK
    entropy = zxcvbn(password, ["ada"])
    feedback = entropy.feedback
    advice = [str(feedback.warning), *map(str, feedback.suggestions)] if feedback else []
    score, warning, suggestions = strength._score_apart(password, ["ada"])
    assert (score, [warning, *suggestions] if feedback else []) == (int(entropy.score), advice)


@settings(max_examples=40)
@given(
    st.one_of(
        st.text("4@8({[<369!1|0$5+7%2", min_size=12, max_size=72),
        st.text("4@8({[<369!1|0$5+7%2abcxyzİﷺ̖́", min_size=12, max_size=72),
        st.builds(lambda block, times: (block * times)[:72], st.text(min_size=1, max_size=36), st.integers(12, 72)),
    ).filter(lambda password: len(password.encode(errors="replace")) <= 72 and password.isprintable()),
    st.sampled_from([(), ADA, MANY_NAMES]),
)
@example(LEET, MANY_NAMES)
@example(EVERY_SYMBOL, MANY_NAMES)
@example("a" * 72, MANY_NAMES)
@example("ab" * 36, MANY_NAMES)
@example("ﷺ" * 24, MANY_NAMES)
@example("password" * 9, MANY_NAMES)
@example(("1234567890" * 8)[:72], MANY_NAMES)
def test_no_password_holds_the_interpreter_for_long(password, words):
    def check():
        with contextlib.suppress(PasswordRejected):
            check_strength(password, words)

    assert seconds_held(check) < MOST_SECONDS
