import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixora import clock
from pixora.factors.encryption import decrypt, name_of
from pixora.importing.lines import Line
from pixora.importing.records import LineRefused, Reader
from tests.factories import ARGON2ID, HASH_2A, HASH_2B, HASH_2Y, PHC_HASHES
from tests.importing.conftest import jsonl, record

WITH_OFFSET = "Must be a time with its offset, as in 2023-05-17T08:30:00Z."
A_TAG = "Must be a language tag, as in de or de-AT."
PAST = "Must be a time since 1970, and not in the future."
SECRET = "a secret that is only for tests, of 40 b"


@pytest.fixture(scope="module")
def read(session_app):
    """Read a line, given as bytes or as a record."""
    with session_app.app_context():
        reader = Reader(SECRET)

        def read(said, **about):
            data = said if isinstance(said, bytes) else jsonl(said)
            return reader.read(Line(**{"number": 1, "data": data, "end": len(data), "is_cut_off": False} | about))

        yield read


def refusal(read, said, **about):
    with pytest.raises(LineRefused) as caught:
        read(said, **about)
    return caught.value.errors


def test_a_line_becomes_a_document_like_that_of_a_sign_up(read):
    before = clock.utcnow()
    user = read(record(first_name=" Ada ", email="ADA@Example.com", contact="+44 20 7946 0958"))
    assert before <= user["created_at"] <= clock.utcnow()
    assert user == {
        "_id": user["_id"],
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@example.com",
        "password": ARGON2ID,
        "contact": "+442079460958",
        "birthday": "1990-12-10",
        "created_at": user["created_at"],
        "updated_at": user["created_at"],
        "email_verified": False,
        "roles": ["user"],
    }


def test_optional_fields_are_stored(read):
    user = read(
        record(
            id="6924a1e0c3f1a2b4d5e6f708",
            created_at="2023-05-17T10:30:00.123456+02:00",
            updated_at="2024-01-01T00:00:00Z",
            email_verified=True,
            roles=["user", "admin"],
            disabled=True,
            locale="de-at",
            metadata={"theme": "dark", "gone": None},
            app_metadata={"plan": "gold"},
        )
    )
    assert (user["metadata"], user["app_metadata"]) == ({"theme": "dark"}, {"plan": "gold"})
    assert (user["metadata_size"], user["app_metadata_size"]) == (16, 15)
    assert user["_id"] == "6924a1e0c3f1a2b4d5e6f708"
    assert user["locale"] == "de-AT"
    assert user["created_at"] == datetime.datetime(2023, 5, 17, 8, 30, 0, 123000, tzinfo=datetime.UTC)
    assert user["updated_at"] == datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    assert (user["email_verified"], user["roles"], user["disabled"]) == (True, ["user", "admin"], True)


@pytest.mark.parametrize("stored", [HASH_2A, HASH_2B, HASH_2Y, *PHC_HASHES])
def test_every_supported_hash_is_stored_unchanged(read, stored):
    assert read(record(password_hash=stored))["password"] == stored


def test_the_default_id_derives_from_address_and_hash_under_the_secret_key(read):
    ids = [read(record(**said))["_id"] for said in ({}, {}, {"password_hash": HASH_2B}, {"email": "ada@example.com"})]
    assert [ids.index(one) for one in ids] == [0, 0, 2, 3]
    assert Reader("another secret")._id("user0@example.com", ARGON2ID) != ids[0]


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"  \t\n"])
def test_a_blank_line_is_skipped(read, blank):
    assert read(blank) is None


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"email": None}, "email", "Missing data for required field."),
        ({"password_hash": None}, "password_hash", "Missing data for required field."),
        ({"first_name": ""}, "first_name", "Must have between 1 and 100 characters."),
        ({"first_name": "\u200b\u3164"}, "first_name", "Must have at least one visible character."),
        ({"email": "ada@localhost"}, "email", None),
        ({"contact": "ring the Navy"}, "contact", "Must be a telephone number with its country code, as in +44."),
        ({"birthday": "1990-02-30"}, "birthday", "Must be an existing date in the form YYYY-MM-DD."),
        ({"birthday": 19901210}, "birthday", "Not a valid string."),
        ({"last_name": "Love\0lace"}, "last_name", "Must not contain NUL or lone surrogates."),
        ({"last_name": "Love\ud800lace"}, "last_name", "Must not contain NUL or lone surrogates."),
        ({"id": "6924A1E0C3F1A2B4D5E6F708"}, "id", "Must be 24 hexadecimal digits, in lower case."),
        ({"id": "6924a1e0c3f1a2b4d5e6f708\n"}, "id", "Must be 24 hexadecimal digits, in lower case."),
        ({"id": {"$oid": "6924a1e0c3f1a2b4d5e6f708"}}, "id", "Not a valid string."),
        ({"metadata": {"$set": 1}}, "metadata", None),
        ({"metadata": []}, "metadata", "Must be a JSON object."),
        ({"app_metadata": {"a": 2**63}}, "app_metadata", "Must not contain integers that do not fit 64 bits."),
        ({"app_metadata": {"a": "a" * 4096}}, "app_metadata", None),
        *(({"locale": tag}, "locale", A_TAG) for tag in ("", "de_AT", "../de", "de\n", "x" * 36)),
        ({"locale": ["de"]}, "locale", "Not a valid string."),
        ({"created_at": "2023-05-17"}, "created_at", WITH_OFFSET),
        ({"created_at": "2023-05-17T08:30:00"}, "created_at", WITH_OFFSET),
        ({"created_at": 1684312200}, "created_at", WITH_OFFSET),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "created_at", PAST),
        ({"updated_at": "9999-12-31T23:59:59-14:00"}, "updated_at", PAST),
        ({"email_verified": 1}, "email_verified", "Not a valid boolean."),
        ({"email_verified": "true"}, "email_verified", "Not a valid boolean."),
        ({"disabled": 0}, "disabled", "Not a valid boolean."),
        ({"roles": []}, "roles", "Must have at least one role."),
        ({"roles": ["user", "user"]}, "roles", "Must not name a role twice."),
        ({"roles": ["root"]}, "roles", "Must be one of: user, admin."),
        ({"roles": "admin"}, "roles", "Not a valid list."),
        ({"password_hash": ["$2b$"]}, "password_hash", "Not a valid string."),
        ({"password_hash": ""}, "password_hash", None),
        (
            {"password_hash": "$argon2id$v=19$m=4194304,t=1,p=1$" + ARGON2ID.split("$", 4)[4]},
            "password_hash",
            "Cannot be checked: it takes too much memory to check.",
        ),
        ({"password_hash": HASH_2B.replace("$04$", "$31$")}, "password_hash", None),
        ({"phone": "1"}, "line", "Has unknown fields: phone."),
        ({"password": "a secret"}, "line", "Has unknown fields: password."),
        ({HASH_2B: "x"}, "line", "Has unknown fields."),
        ({"_schema": "x"}, "line", None),
    ],
)
def test_an_invalid_field_is_refused_with_the_reason(read, changes, field, message):
    errors = refusal(read, record(**changes))
    assert list(errors) == [field]
    assert message is None or errors[field] == [message]


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"user0@example.com\n",
        b"\xff\xfe\n",
        b"\0\n",
        jsonl(record())[:-30],
        jsonl(record(first_name="\xe9")).replace(b"\\u00e9", b"\xe9"),
        b'{"email": "a@example.com", ' + jsonl(record())[1:],
        jsonl(record(first_name=float("nan"))),
        b"[" * 16_000,
        b"1" * 16_000,
    ],
)
def test_malformed_json_is_refused(read, data):
    assert list(refusal(read, data)) == ["line"]


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"x"', b"[{}]", b"true"])
def test_a_value_that_is_not_an_object_is_refused(read, data):
    assert refusal(read, data) == {"line": ["Must be a JSON object."]}


def test_a_line_that_is_too_long_is_refused(read):
    assert refusal(read, b"", data=None) == {"line": ["Must have at most 16384 bytes."]}


def test_the_last_line_of_a_truncated_file_says_so(read):
    [message] = refusal(read, jsonl(record())[:-30], is_cut_off=True)["line"]
    assert message.endswith("the file may be truncated.")
    assert read(jsonl(record())[:-1], is_cut_off=True)["email"] == "user0@example.com"


SECRETS = st.sampled_from([HASH_2B, ARGON2ID, "correct horse battery"])
VALUES = st.recursive(SECRETS | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=3))
RECORDS = st.dictionaries(st.sampled_from([*record(), "id", "roles", "x"]) | SECRETS, VALUES, max_size=8)


@given(RECORDS)
def test_no_reason_contains_a_secret(read, changes):
    try:
        read(record() | changes)
    except LineRefused as error:
        messages = json.dumps(error.errors)
        assert not any(secret in messages for secret in (HASH_2B, ARGON2ID, "correct horse"))


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(read, data):
    try:
        assert read(data) is None
    except LineRefused as error:
        assert error.errors


@pytest.fixture(scope="module")
def read_with_keys(session_app):
    """Read a record where `DATA_KEYS` is set; return the document and the keys."""
    keys = session_app.extensions["services"].settings.data_keys

    def read(said):
        data = jsonl(said)
        with session_app.app_context():
            return Reader(SECRET, keys).read(Line(1, data, len(data), False)), keys

    return read


@pytest.mark.parametrize(
    "spelling", ["JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "JBSWY3DP-EHPK3PXP", "JBSWY3DPEHPK3PXP=="]
)
def test_a_secret_of_an_authenticator_app_is_stored_encrypted_and_unused(read_with_keys, spelling):
    user, keys = read_with_keys(record(totp_secret=spelling))
    factor = user["factors"]["totp"]
    assert decrypt(keys, user["_id"], factor["secret"]) == b"Hello!\xde\xad\xbe\xef"
    assert (factor["key"], factor["last_step"]) == (name_of(keys[0]), 0)
    assert "recovery_codes" not in user["factors"]


@pytest.mark.parametrize(
    "secret", ["", "JBSWY3DPEHPK3PX1", "JBSWY3DPEHPK", "é" * 32, "A" * 112, "A" * 200, "A" * 15_000]
)
def test_what_is_no_such_secret_is_refused_and_not_quoted(read_with_keys, secret):
    with pytest.raises(LineRefused) as refused:
        read_with_keys(record(totp_secret=secret))
    assert refused.value.errors.keys() == {"totp_secret"}
    assert not secret or secret not in str(refused.value)


def test_without_data_keys_no_secret_is_imported(read):
    with pytest.raises(LineRefused) as refused:
        read(record(totp_secret="JBSWY3DPEHPK3PXP"))
    assert refused.value.errors == {"totp_secret": ["Cannot be stored: DATA_KEYS is not set."]}
