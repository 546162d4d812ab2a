import base64
import hashlib
import re
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixora.passwords import phc
from pixora.passwords.phc import is_phc, parse

SALT = b"0123456789abcdef"

# From the tests of the Argon2 reference implementation and the manual of passlib. The password is "password".
FROM_OTHER_IMPLEMENTATIONS = [
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
    "$pbkdf2-sha256$6400$.6UI/S.nXIk8jcbdHx3Fhg$98jZicV16ODfEsEZeYPGHU3kbrUrvUEXOPimVSQDD44",
]


def text(data):
    return base64.b64encode(data).rstrip(b"=").decode()


def argon2id(m=64, t=1, p=1, salt=SALT, digest=b"d" * 32):
    return f"$argon2id$v=19$m={m},t={t},p={p}${text(salt)}${text(digest)}"


def scrypt(password="", ln=4, r=8, p=1, salt=SALT, digest=None, length=32):
    if digest is None:
        digest = hashlib.scrypt(password.encode(), salt=salt, n=2**ln, r=r, p=p, dklen=length, maxmem=2**28)
    return f"$scrypt$ln={ln},r={r},p={p}${text(salt)}${text(digest)}"


def pbkdf2(password="", iterations=10, salt=SALT, length=32, name="sha256"):
    digest = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations, length)
    return f"$pbkdf2-{name}$i={iterations},l={length}${text(salt)}${text(digest)}"


def passlib(stored):
    """Return the same hash in the form of passlib."""
    scheme, parameters, *rest = stored.split("$")[1:]
    iterations = re.match(r"i=(\d+)", parameters)[1]
    return "$".join(["", scheme, iterations, *(part.replace("+", ".") for part in rest)])


@pytest.mark.parametrize("stored", FROM_OTHER_IMPLEMENTATIONS)
def test_a_hash_of_another_implementation_verifies_its_password_and_no_other(stored):
    hashed = parse(stored)
    assert hashed.matches("password")
    assert not hashed.matches("Password")
    assert not hashed.matches("")


PASSWORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)


@settings(max_examples=30)
@given(
    PASSWORDS,
    st.binary(min_size=8, max_size=64),
    st.integers(1, 20),
    st.integers(16, 64),
    st.sampled_from(["sha256", "sha512"]),
)
def test_a_pbkdf2_hash_of_the_standard_library_is_verified_in_both_forms(password, salt, iterations, length, name):
    stored = pbkdf2(password, iterations, salt, length, name)
    for form in (stored, passlib(stored)):
        assert parse(form).matches(password)
        assert not parse(form).matches(password + "x")


@settings(max_examples=30)
@given(PASSWORDS, st.binary(min_size=8, max_size=64), st.integers(1, 6), st.integers(1, 9), st.integers(1, 3))
def test_a_scrypt_hash_of_the_standard_library_is_verified(password, salt, ln, r, p):
    hashed = parse(scrypt(password, ln, r, p, salt))
    assert hashed.matches(password)
    assert not hashed.matches(password + "x")


def test_every_byte_of_a_password_over_72_bytes_counts():
    hashed = parse(pbkdf2("x" * 100))
    assert hashed.matches("x" * 100)
    assert not hashed.matches("x" * 99)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (argon2id(m=131073), "memory"),
        (argon2id(m=4_000_000_000), "memory"),
        (argon2id(m=131072, t=9), "time"),
        (argon2id(m=8, t=2**18), "time"),
        (argon2id(m=1024, p=17), "lanes"),
        (argon2id(m=8, p=2), "lanes"),
        (scrypt(ln=18, digest=b"d" * 32), "memory"),
        (scrypt(ln=33, digest=b"d" * 32), "memory"),
        (scrypt(ln=9_999_999_999, digest=b"d" * 32), "memory"),
        (scrypt(ln=1, r=1, p=2**21, digest=b"d" * 32), "memory"),
        (scrypt(ln=17, p=4, digest=b"d" * 32), "time"),
        (scrypt(ln=16, r=1, digest=b"d" * 32), "too large for its r"),
        (f"$pbkdf2-sha256$3000001${text(SALT)}${text(b'd' * 32)}", "time"),
        (f"$pbkdf2-sha256$i=1500001,l=33${text(SALT)}${text(b'd' * 33)}", "time"),
        (f"$pbkdf2-sha512$1000001${text(SALT)}${text(b'd' * 64)}", "time"),
        (pbkdf2().replace("l=32", "l=31"), "length"),
        (pbkdf2(length=64, name="sha512").replace("l=64", "l=32"), "length"),
    ],
)
def test_a_hash_that_costs_too_much_is_refused_with_the_reason_and_not_computed(stored, reason):
    with pytest.raises(ValueError, match=reason):
        parse(stored)


@pytest.mark.parametrize(
    "stored",
    [
        argon2id(m=131072, t=8),
        argon2id(m=65536, t=3, p=4),  # argon2-cffi
        argon2id(m=102400, t=2, p=8),  # Django
        argon2id(m=19456, t=2),  # OWASP
        argon2id(m=47104),  # OWASP
        scrypt(ln=17, digest=b"d" * 32),  # OWASP
        scrypt(ln=16, digest=b"d" * 32),  # passlib
        scrypt(ln=14, p=5, digest=b"d" * 64),
        f"$pbkdf2-sha256$3000000${text(SALT)}${text(b'd' * 32)}",
        f"$pbkdf2-sha256$i=600000,l=64${text(SALT)}${text(b'd' * 64)}",
        f"$pbkdf2-sha512$210000${text(SALT)}${text(b'd' * 64)}",  # Keycloak, OWASP
    ],
)
def test_the_defaults_of_libraries_and_owasp_are_accepted(stored):
    assert parse(stored).kind.replace(" ", "$") in stored


@pytest.mark.parametrize(
    "stored",
    [
        "$argon2id$",
        "$argon2id$v=19$m=64,t=1,p=1$",
        argon2id().replace("v=19", "v=16"),
        argon2id().replace("$v=19", ""),
        argon2id().replace("t=1", "t=0"),
        argon2id().replace("t=1", "t=01"),
        argon2id().replace("t=1", "t=-1"),
        argon2id().replace("t=1", "t=\u0661"),
        argon2id().replace("m=64,t=1", "t=1,m=64"),
        argon2id().replace("p=1", "p=1,keyid=x"),
        argon2id() + "$",
        argon2id() + "\n",
        argon2id() + "=",
        " " + argon2id(),
        argon2id().replace("argon2id", "argon2i"),
        argon2id().replace("argon2id", "ARGON2ID"),
        argon2id(salt=b"1234567"),
        argon2id(salt=b"s" * 65),
        argon2id(digest=b"d" * 15),
        argon2id(digest=b"d" * 65),
        argon2id(salt=b"12345678")[:-1] + "B",  # a bit to spare is set
        argon2id().replace("ZG", "Z."),  # passlib's base64, which is not that of PHC
        scrypt()[:-2],
        "$pbkdf2-sha256$1e3$" + pbkdf2().split("$", 3)[3],
        "$pbkdf2-sha256$i=10$" + pbkdf2().split("$", 3)[3],
        "$argon2id$v=19$m=64,t=1,p=1$" + "A" * 100_000 + "$" + "A" * 43,
    ],
)
def test_a_malformed_hash_is_refused(stored):
    with pytest.raises(ValueError, match=r"."):
        parse(stored)


@pytest.mark.parametrize("stored", [argon2id(m=2**20), argon2id(salt=b"short"), argon2id() + "$"])
def test_the_error_contains_neither_salt_nor_digest(stored):
    with pytest.raises(ValueError, match=r".") as caught:
        parse(stored)
    assert not any(part in str(caught.value) for part in stored.split("$")[4:] if part)


SMALL = st.sampled_from([0, 1, 2, 4, 8, 15, 16, 17, 2**16, 2**32])
MEMORY = st.sampled_from([7, 8, 64, 136, 1024, 1025, 10**9, 10**10])
PARAMETERS = {
    "argon2id": st.builds("v=19$m={},t={},p={}".format, MEMORY, SMALL, SMALL),
    "scrypt": st.builds("ln={},r={},p={}".format, SMALL, SMALL, SMALL),
    "pbkdf2-sha256": st.builds("i={},l={}".format, SMALL, SMALL | st.just(32)) | SMALL.map(str),
    "pbkdf2-sha512": st.builds("i={},l={}".format, SMALL, SMALL | st.just(32)) | SMALL.map(str),
}
BYTES = st.sampled_from([7, 8, 15, 16, 32, 33, 64, 65]).map(lambda length: text(bytes(range(length))))
HASHES = [st.builds("${}${}${}${}".format, st.just(name), PARAMETERS[name], BYTES, BYTES) for name in PARAMETERS]
MIXED = st.lists(st.sampled_from([*PARAMETERS, "", "argon2d"]) | st.one_of(*PARAMETERS.values()) | BYTES | st.text())


@pytest.fixture
def low_caps(monkeypatch):
    """Accept only hashes that take milliseconds."""
    for name, value in (
        ("MAX_MEMORY_KIB", 1024),
        ("MAX_ARGON2_WORK", 4096),
        ("MAX_SCRYPT_WORK", 4096),
        ("MAX_PBKDF2_WORK", 5000),
    ):
        monkeypatch.setattr(phc, name, value)


def test_any_text_is_refused_or_can_be_computed(low_caps):
    computed = set()

    @settings(max_examples=300, derandomize=True)  # the same texts each time, so that all kinds are among them
    @given(st.one_of(*HASHES) | MIXED.map("$".join))
    def check(stored):
        try:
            hashed = parse(stored)
        except ValueError:
            return
        assert is_phc(stored)
        assert hashed.matches("x") is False
        hashed.compute()
        computed.add(hashed.scheme)

    check()
    assert computed == set(phc.SCHEMES)


@pytest.mark.parametrize(
    "stored",
    [
        argon2id(m=32768, t=4),
        scrypt(ln=15, digest=b"d" * 32),
        f"$pbkdf2-sha256$400000${text(SALT)}${text(b'd' * 32)}",
        f"$pbkdf2-sha512$200000${text(SALT)}${text(b'd' * 64)}",
    ],
    ids=phc.SCHEMES,
)
def test_other_threads_run_while_a_hash_is_computed(stored):
    hashed = parse(stored)
    thread = threading.Thread(target=hashed.matches, args=["x"])
    thread.start()
    turns = 0
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 5
