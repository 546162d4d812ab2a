import datetime
import unicodedata

import email_validator
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from pixora import clock
from pixora.auth.schemas import LoginSchema, RequestResetSchema, SignupSchema
from pixora.web.fields import (
    LONGEST_EMAIL,
    Birthday,
    Contact,
    Email,
    Limit,
    PersonName,
    Timestamp,
    canonical,
    case_folded,
    spellings,
)

MARKS = "\u0301\u0316" * 4000
"""NFC has to sort them, which takes a third of a second."""


@pytest.fixture
def longest_seen(monkeypatch):
    """Note the longest text that gets to each function whose time grows faster than the text."""
    seen = {"length": 0}

    def watch(module, name, position):
        inner = getattr(module, name)

        def watched(*args, **kwargs):
            seen["length"] = max(seen["length"], len(args[position]))
            return inner(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    watch(unicodedata, "normalize", 1)
    watch(email_validator, "validate_email", 0)
    watch(phonenumbers, "parse", 0)
    return seen


@pytest.mark.parametrize(
    "field", [PersonName(), Email(), Contact(), Birthday()], ids=lambda field: type(field).__name__
)
@pytest.mark.parametrize(
    "text", [f"a{MARKS}@example.com", f"{MARKS}@example.com", f"ada@{MARKS}.com", "+44" + "2" * 8000, " " * 8000]
)
def test_a_text_that_is_too_long_is_refused_before_anything_is_done_with_it(app, longest_seen, field, text):
    with app.app_context(), pytest.raises(ValidationError):
        field.deserialize(text)
    assert longest_seen["length"] == 0


@pytest.mark.parametrize("email", [f"a{MARKS}@example.com", f"ada@{MARKS}.com", "É" * 400])
def test_an_address_that_is_too_long_for_one_has_one_form_and_is_not_normalised(longest_seen, email):
    assert spellings(email) == [email]
    assert canonical(email) == email
    assert longest_seen["length"] == 0


@pytest.mark.parametrize("schema", [SignupSchema, LoginSchema, RequestResetSchema])
def test_no_text_of_an_anonymous_request_is_worked_on_that_is_too_long(app, longest_seen, schema):
    with app.app_context():
        schema().validate(dict.fromkeys(schema().fields, f"{MARKS}@example.com"))
    assert longest_seen["length"] == 0


@given(st.text(st.sampled_from("a\u0301\u0316\u0344\u0345\u1f80\ufdfaß@. "), min_size=250, max_size=LONGEST_EMAIL + 5))
def test_nothing_longer_than_an_address_is_read_as_one(text):
    try:
        kept = Email().deserialize(text)
    except ValidationError:
        return
    assert len(kept) <= 254


@pytest.mark.parametrize("zeros", [10, 5000])
def test_a_limit_is_no_endless_number(zeros):
    with pytest.raises(ValidationError):
        Limit().deserialize("0" * zeros + "7")


@pytest.mark.parametrize("region", [None, "GB"])
@pytest.mark.parametrize(
    "number", ["+44;phone-context=" + "int.4" * 6, "tel:79460958;phone-context=+4420", "+442079460958;ext=5", ";"]
)
def test_a_telephone_number_with_parameters_is_not_parsed(make_app, longest_seen, number, region):
    with make_app(PHONE_DEFAULT_REGION=region).app_context(), pytest.raises(ValidationError, match="telephone number"):
        Contact().deserialize(number)
    assert longest_seen["length"] == 0


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("  Ada\t", "Ada"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("x", "x"),
        ("李", "李"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("o\u0308" * 100, "\u00f6" * 100),
        ("  " + "x" * 100 + "  ", "x" * 100),
    ],
)
def test_a_name_is_trimmed_and_composed(given_name, kept):
    assert PersonName().deserialize(given_name) == kept


@pytest.mark.parametrize(
    "name", ["", "   ", "\u00a0", "x" * 101, "a\nb", "a\x7fb", "a\x85b", "a\u2028b", "evil\u202egnp", "a\x00", "\ud800"]
)
def test_a_name_that_is_empty_long_or_holds_controls_is_refused(name):
    with pytest.raises(ValidationError):
        PersonName().deserialize(name)


INVISIBLE = [
    *("\u200b", "\u200c\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u061c", "\u180e", "\u2063", "\U000e0061"),
    *("\u2800", "\u3164", "\u115f\u1160", "\uffa0", "\U0001d159", "\ufe0f", "\U000e0100", "\u17b4", "\ufff0", "\u2065"),
    *("\u0301", "\u0903", "\u20dd", "\u0345", "\ue000", "\uffff"),
]


@pytest.mark.parametrize("name", INVISIBLE, ids=ascii)
def test_a_name_with_nothing_to_see_is_refused(name):
    with pytest.raises(ValidationError, match="visible"):
        PersonName().deserialize(name)


@given(st.lists(st.sampled_from([*INVISIBLE, " ", "\u3000"]), min_size=1, max_size=20).map("".join))
def test_no_number_of_invisible_characters_makes_a_name(name):
    with pytest.raises(ValidationError, match=r"visible|between 1 and 100"):
        PersonName().deserialize(name)


@given(
    st.sampled_from(["A", "李", "ñ", "א", "ا", "한", "ก", "1", "-", "?", "😀", "ʻ", "ー"]),
    st.lists(st.sampled_from(INVISIBLE), max_size=5).map("".join),
    st.lists(st.sampled_from(INVISIBLE), max_size=5).map("".join),
)
def test_one_visible_character_makes_a_name_whatever_is_around_it(visible, before, after):
    assert PersonName().deserialize(before + visible + after)


@given(st.text(max_size=120))
def test_an_accepted_name_is_accepted_again_unchanged(name):
    try:
        kept = PersonName().deserialize(name)
    except ValidationError:
        return
    assert PersonName().deserialize(kept) == kept
    assert 1 <= len(kept) <= 100


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
    assert Email().deserialize(typed) == canonical


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
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValidationError):
        Email().deserialize(address)


LETTERS = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("ßẞςΣσİŉΐῼᾳ\u0345\u0301\u0307ǰﬁKÅ")
LOCAL_PARTS = st.text(LETTERS, min_size=1, max_size=30)
ADDRESSES = st.emails() | st.builds(
    "{}@{}".format, LOCAL_PARTS, st.sampled_from(["example.com", "straße.de", "ΣΑΣ.gr"])
)


@given(ADDRESSES)
def test_a_canonical_address_is_its_own_canonical_form(address):
    try:
        kept = Email().deserialize(address)
    except ValidationError:
        return
    assert Email().deserialize(kept) == kept
    assert spellings(kept) == [kept]


@given(ADDRESSES | st.text(LETTERS, max_size=80))
def test_whatever_is_stored_its_canonical_form_is_composed_and_lasts(text):
    folded = case_folded(text)
    assert case_folded(folded) == folded
    assert unicodedata.is_normalized("NFC", folded)


@given(LOCAL_PARTS)
def test_neither_case_nor_composition_makes_another_account(name):
    forms = {name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")), name.casefold()}
    assert len({case_folded(f"{form}@example.com") for form in forms}) == 1


@given(ADDRESSES)
def test_an_account_is_found_by_each_form_that_it_may_be_stored_in(address):
    try:
        kept = Email().deserialize(address)
    except ValidationError:
        return
    *_, last = spellings(address)
    assert last == kept == canonical(address)
    lower = unicodedata.normalize("NFC", email_validator.validate_email(address, check_deliverability=False).normalized)
    assert unicodedata.normalize("NFC", lower.lower()) in spellings(address)  # as older versions have stored it


@pytest.mark.parametrize("email", ["ada@pixora.test", "Ada@Laptop.LOCAL"])
@pytest.mark.parametrize("environment", ["development", "testing"])
def test_an_address_of_a_local_domain_is_accepted_in_development(make_app, email, environment):
    with make_app(PIXORA_ENV=environment).app_context():
        assert Email().deserialize(email) == email.lower()


@pytest.mark.parametrize("email", ["ada@pixora.test", "ada@laptop.local"])
def test_an_address_of_a_local_domain_is_refused_in_production(make_app, email):
    with make_app(PIXORA_ENV="production").app_context(), pytest.raises(ValidationError, match="special-use"):
        Email().deserialize(email)


@pytest.mark.parametrize(
    "email", ["ada@.test", "ada@local", "@pixora.test", "ada@pixora..local", "ada@[127.0.0.1].test"]
)
def test_what_is_no_address_is_refused_in_development_too(make_app, email):
    with make_app(PIXORA_ENV="development").app_context(), pytest.raises(ValidationError):
        Email().deserialize(email)


def test_an_account_is_looked_for_as_typed_first_and_in_canonical_form_last():
    assert spellings("Ada@Example.COM") == ["Ada@Example.COM", "Ada@example.com", "ada@example.com"]
    assert spellings("ada@example.com") == ["ada@example.com"]
    assert spellings("No Address") == ["No Address", "no address"]
    assert spellings(" Straße@Example.COM ") == [
        *("Straße@Example.COM", "Straße@example.com", "straße@example.com", "strasse@example.com")
    ]


@pytest.mark.parametrize(
    ("typed", "region", "kept"),
    [
        ("+44 20 7946 0958", None, "+442079460958"),
        ("+1 (415) 555-2671", None, "+14155552671"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("+1 415 555 2671", "GB", "+14155552671"),
    ],
)
def test_a_telephone_number_is_kept_as_e164(make_app, typed, region, kept):
    with make_app(PHONE_DEFAULT_REGION=region).app_context():
        assert Contact().deserialize(typed) == kept


@pytest.mark.parametrize("region", [None, "GB"])
@pytest.mark.parametrize(
    "number",
    ["", "hello", "12345", "+", "+44", "+999 12345678", "+44 20 7946", "+442079460958 ext. 5", "+44" + "2" * 300],
)
def test_what_is_no_telephone_number_is_refused(make_app, number, region):
    with make_app(PHONE_DEFAULT_REGION=region).app_context(), pytest.raises(ValidationError):
        Contact().deserialize(number)


def test_a_national_number_is_refused_without_a_region(app):
    with app.app_context(), pytest.raises(ValidationError, match="country code"):
        Contact().deserialize("020 7946 0958")


@pytest.mark.parametrize("date", ["1900-01-01", "1990-12-10", "2000-02-29"])
def test_a_birthday_stays_as_it_was_written(date):
    assert Birthday().deserialize(date) == date


@pytest.mark.parametrize(
    "date",
    [
        *("", "1899-12-31", "2001-02-29", "1990-13-01", "1990-1-1", "19901210", "1990-W50-1", "10/12/1990"),
        *("1990-12-10T00:00:00", " 1990-12-10", "1990-12-10\n", "9999-12-31", "0000-00-00", "١٩٩٠-١٢-١٠"),
    ],
)
def test_what_is_no_birthday_is_refused(date):
    with pytest.raises(ValidationError):
        Birthday().deserialize(date)


@pytest.mark.parametrize("days", [0, 1])
def test_a_birthday_lies_in_the_past(days):
    day = clock.utcnow().date() + datetime.timedelta(days=days)
    with pytest.raises(ValidationError, match="past"):
        Birthday().deserialize(day.isoformat())


def test_yesterday_is_the_past():
    day = clock.utcnow().date() - datetime.timedelta(days=1)
    assert Birthday().deserialize(day.isoformat()) == day.isoformat()


@given(st.datetimes(min_value=datetime.datetime(1900, 1, 1), timezones=st.timezones()))
def test_a_time_is_written_in_utc_with_milliseconds(time):
    written = Timestamp()._serialize(time, None, None)
    read = datetime.datetime.strptime(written, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.UTC)
    assert datetime.timedelta(0) <= time - read < datetime.timedelta(milliseconds=1)
