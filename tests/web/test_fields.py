import datetime
import unicodedata

import email_validator
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from pixora import clock, emails
from pixora.auth.schemas import LoginSchema, RequestResetSchema, SignupSchema
from pixora.web.fields import (
    Birthday,
    Contact,
    Email,
    Limit,
    PersonName,
    Timestamp,
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
def test_text_that_is_too_long_is_rejected_before_it_is_processed(app, longest_seen, field, text):
    with app.app_context(), pytest.raises(ValidationError):
        field.deserialize(text)
    assert longest_seen["length"] == 0


@pytest.mark.parametrize("email", [f"a{MARKS}@example.com", f"ada@{MARKS}.com", "É" * 400])
def test_an_address_that_is_too_long_has_one_spelling_and_is_not_normalised(longest_seen, email):
    assert emails.spellings(email) == [email]
    assert emails.canonical(email) == email
    assert longest_seen["length"] == 0


@pytest.mark.parametrize("schema", [SignupSchema, LoginSchema, RequestResetSchema])
def test_no_field_of_an_anonymous_request_processes_text_that_is_too_long(app, longest_seen, schema):
    with app.app_context():
        schema().validate(dict.fromkeys(schema().fields, f"{MARKS}@example.com"))
    assert longest_seen["length"] == 0


@pytest.mark.parametrize("zeros", [10, 5000])
def test_a_limit_with_too_many_zeros_is_rejected(zeros):
    with pytest.raises(ValidationError):
        Limit().deserialize("0" * zeros + "7")


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_a_local_domain_is_accepted_in_development(make_app, environment):
    with make_app(PIXORA_ENV=environment).app_context():
        assert Email().deserialize(" Ada@Pixora.TEST") == "ada@pixora.test"


def test_a_local_domain_is_rejected_in_production(make_app):
    with make_app(PIXORA_ENV="production").app_context(), pytest.raises(ValidationError, match="special-use"):
        Email().deserialize("ada@pixora.test")


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
def test_a_name_that_is_empty_too_long_or_has_control_characters_is_rejected(name):
    with pytest.raises(ValidationError):
        PersonName().deserialize(name)


INVISIBLE = [
    *("\u200b", "\u200c\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u061c", "\u180e", "\u2063", "\U000e0061"),
    *("\u2800", "\u3164", "\u115f\u1160", "\uffa0", "\U0001d159", "\ufe0f", "\U000e0100", "\u17b4", "\ufff0", "\u2065"),
    *("\u0301", "\u0903", "\u20dd", "\u0345", "\ue000", "\uffff"),
]


@pytest.mark.parametrize("name", INVISIBLE, ids=ascii)
def test_an_invisible_name_is_rejected(name):
    with pytest.raises(ValidationError, match="visible"):
        PersonName().deserialize(name)


@given(st.lists(st.sampled_from([*INVISIBLE, " ", "\u3000"]), min_size=1, max_size=20).map("".join))
def test_any_number_of_invisible_characters_is_rejected_as_a_name(name):
    with pytest.raises(ValidationError, match=r"visible|between 1 and 100"):
        PersonName().deserialize(name)


@given(
    st.sampled_from(["A", "李", "ñ", "א", "ا", "한", "ก", "1", "-", "?", "😀", "ʻ", "ー"]),
    st.lists(st.sampled_from(INVISIBLE), max_size=5).map("".join),
    st.lists(st.sampled_from(INVISIBLE), max_size=5).map("".join),
)
def test_one_visible_character_among_invisible_ones_is_accepted_as_a_name(visible, before, after):
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
    ("typed", "region", "kept"),
    [
        ("+44 20 7946 0958", None, "+442079460958"),
        ("+1 (415) 555-2671", None, "+14155552671"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("+1 415 555 2671", "GB", "+14155552671"),
    ],
)
def test_a_telephone_number_is_stored_as_e164(make_app, typed, region, kept):
    with make_app(PHONE_DEFAULT_REGION=region).app_context():
        assert Contact().deserialize(typed) == kept


@pytest.mark.parametrize("region", [None, "GB"])
@pytest.mark.parametrize(
    "number",
    ["", "hello", "12345", "+", "+44", "+999 12345678", "+44 20 7946", "+442079460958 ext. 5", "+44" + "2" * 300],
)
def test_an_invalid_telephone_number_is_rejected(make_app, number, region):
    with make_app(PHONE_DEFAULT_REGION=region).app_context(), pytest.raises(ValidationError):
        Contact().deserialize(number)


def test_a_national_number_is_rejected_without_a_default_region(app):
    with app.app_context(), pytest.raises(ValidationError, match="country code"):
        Contact().deserialize("020 7946 0958")


@pytest.mark.parametrize("date", ["1900-01-01", "1990-12-10", "2000-02-29"])
def test_a_birthday_is_stored_as_given(date):
    assert Birthday().deserialize(date) == date


@pytest.mark.parametrize(
    "date",
    [
        *("", "1899-12-31", "2001-02-29", "1990-13-01", "1990-1-1", "19901210", "1990-W50-1", "10/12/1990"),
        *("1990-12-10T00:00:00", " 1990-12-10", "1990-12-10\n", "9999-12-31", "0000-00-00", "١٩٩٠-١٢-١٠"),
    ],
)
def test_an_invalid_birthday_is_rejected(date):
    with pytest.raises(ValidationError):
        Birthday().deserialize(date)


@pytest.mark.parametrize("days", [0, 1])
def test_a_birthday_today_or_in_the_future_is_rejected(days):
    day = clock.utcnow().date() + datetime.timedelta(days=days)
    with pytest.raises(ValidationError, match="past"):
        Birthday().deserialize(day.isoformat())


def test_a_birthday_yesterday_is_accepted():
    day = clock.utcnow().date() - datetime.timedelta(days=1)
    assert Birthday().deserialize(day.isoformat()) == day.isoformat()


@given(st.datetimes(min_value=datetime.datetime(1900, 1, 1), timezones=st.timezones()))
def test_a_time_is_written_in_utc_with_milliseconds(time):
    written = Timestamp()._serialize(time, None, None)
    read = datetime.datetime.strptime(written, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.UTC)
    assert datetime.timedelta(0) <= time - read < datetime.timedelta(milliseconds=1)
