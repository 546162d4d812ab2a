import unicodedata

import email_validator
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixora.emails import LONGEST, canonical, fold_case, spellings, validate


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("ada+tag@example.com", "ada+tag@example.com"),
        ("JOSE\u0301@example.com", "jos\u00e9@example.com"),
        ("JOS\u00c9@example.com", "jos\u00e9@example.com"),
        ("ada@XN--BCHER-KVA.example.com", "ada@b\u00fccher.example.com"),
        ("ada@B\u00dcCHER.example.com", "ada@b\u00fccher.example.com"),
        ("straße@example.com", "strasse@example.com"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("STRAẞE@example.com", "strasse@example.com"),
        ("γιώργος@example.com", "γιώργοσ@example.com"),
        ("ΓΙΏΡΓΟΣ@example.com", "γιώργοσ@example.com"),
        ("ΓΙΏΡΓΟΣ.Χ@example.com", "γιώργοσ.χ@example.com"),
        ("İnci@example.com", "i\u0307nci@example.com"),
        ("ŉame@example.com", "ʼname@example.com"),
        ("\u1fb3\u0301@example.com", "\u03ac\u03b9@example.com"),
        ("\u03b1\u0345\u0301@example.com", "\u03ac\u03b9@example.com"),
        ("ada@STRAßE.example.com", "ada@straße.example.com"),  # another domain than strasse
        ("ada@ΓΙΏΡΓΟΣ.example.com", "ada@γιώργοσ.example.com"),
        ("ada@γιώργος.example.com", "ada@γιώργος.example.com"),
        (" ada@example.com", "ada@example.com"),
        ("\t\u00a0Ada@example.com \u3000\r\n", "ada@example.com"),
    ],
)
def test_an_address_has_one_canonical_form(typed, canonical):
    assert validate(typed, allow_local_domains=False) == canonical


@pytest.mark.parametrize(
    "address",
    [
        *("", "ada", "ada@", "@example.com", "ada@example", "ada@@example.com", "a b@example.com", "ada@exa mple.com"),
        *(
            "Ada <ada@example.com>",
            "ada@example.com, eve@example.com",
            "ada@localhost",
            "ada@[127.0.0.1]",
            '"a"@example.com',
        ),
        *(
            "ada @example.com",
            "ada@ example.com",
            " ",
            "ada@example.com\r\nBcc: eve@example.com",
            "ada\0@example.com",
            "\ud800@example.com",
        ),
        "x" * 60 + "@" + ".".join(["y" * 60] * 4) + ".com",
        "ß" * 33 + "@example.com",
        "ŉ" * 33 + "@example.com",
    ],
)
def test_a_malformed_address_is_rejected(address):
    with pytest.raises(ValueError, match=r"\w"):
        validate(address, allow_local_domains=False)


LETTERS = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("ßẞςΣσİŉΐῼᾳ\u0345\u0301\u0307ǰﬁKÅ")
LOCAL_PARTS = st.text(LETTERS, min_size=1, max_size=30)
ADDRESSES = st.emails() | st.builds(
    "{}@{}".format, LOCAL_PARTS, st.sampled_from(["example.com", "straße.de", "ΣΑΣ.gr"])
)


@given(ADDRESSES)
def test_the_canonical_form_is_stable(address):
    try:
        kept = validate(address, allow_local_domains=False)
    except ValueError:
        return
    assert validate(kept, allow_local_domains=False) == kept
    assert spellings(kept) == [kept]


@given(ADDRESSES | st.text(LETTERS, max_size=80))
def test_folded_text_is_in_nfc_and_folds_to_itself(text):
    folded = fold_case(text)
    assert fold_case(folded) == folded
    assert unicodedata.is_normalized("NFC", folded)


@given(LOCAL_PARTS)
def test_addresses_that_differ_in_case_or_composition_fold_to_the_same_one(name):
    forms = {name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")), name.casefold()}
    assert len({fold_case(f"{form}@example.com") for form in forms}) == 1


@given(ADDRESSES)
@example("\u13a0@example.com")  # a Cherokee letter
def test_the_spellings_include_every_form_that_a_document_may_hold(address):
    try:
        kept = validate(address, allow_local_domains=False)
    except ValueError:
        return
    *_, last = spellings(address)
    assert last == kept == canonical(address)
    lower = unicodedata.normalize(
        "NFC", email_validator.validate_email(address.strip(), check_deliverability=False).normalized
    )
    assert unicodedata.normalize("NFC", lower.lower()) in spellings(address)  # as older versions have stored it


@pytest.mark.parametrize("email", ["ada@pixora.test", "Ada@Laptop.LOCAL"])
def test_a_local_domain_is_accepted_where_allowed(email):
    assert validate(email, allow_local_domains=True) == email.lower()


@pytest.mark.parametrize("email", ["ada@pixora.test", "ada@laptop.local"])
def test_a_local_domain_is_rejected_elsewhere(email):
    with pytest.raises(ValueError, match="special-use"):
        validate(email, allow_local_domains=False)


@pytest.mark.parametrize(
    "email", ["ada@.test", "ada@local", "@pixora.test", "ada@pixora..local", "ada@[127.0.0.1].test"]
)
def test_a_malformed_address_of_a_local_domain_is_rejected(email):
    with pytest.raises(ValueError, match=r"@|invalid|period|domain"):
        validate(email, allow_local_domains=True)


def test_the_first_spelling_is_the_typed_one_and_the_last_the_canonical_one():
    assert spellings("Ada@Example.COM") == ["Ada@Example.COM", "Ada@example.com", "ada@example.com"]
    assert spellings("ada@example.com") == ["ada@example.com"]
    assert spellings("No Address") == ["No Address", "no address"]
    assert spellings(" Straße@Example.COM ") == [
        *("Straße@Example.COM", "Straße@example.com", "straße@example.com", "strasse@example.com")
    ]


@given(st.text(st.sampled_from("a\u0301\u0316\u0344\u0345\u1f80\ufdfaß@. "), min_size=250, max_size=LONGEST + 5))
def test_a_canonical_address_has_at_most_254_characters(text):
    try:
        kept = validate(text, allow_local_domains=False)
    except ValueError:
        return
    assert len(kept) <= 254
