"""Secrets and keys: strong ones, derived ones, and those that files contain."""

import base64

import pytest

from tests.configuration.conftest import GOOD


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
@pytest.mark.parametrize(
    "secret", ["", "short", "x" * 31, "x" * 64, "changeme" * 8, "passwordpasswordpasswordpasswordpassword"]
)
def test_production_refuses_a_weak_secret(faults, name, secret):
    assert set(faults(**GOOD | {name: secret})) == {name}


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_a_weak_secret_will_do_elsewhere(load, environment):
    assert load(**GOOD | {"PIXORA_ENV": environment, "SECRET_KEY": "x", "JWT_SECRET_KEY": "x"}).secret_key == "x"


def test_production_refuses_one_secret_for_both_uses(faults):
    assert set(faults(**GOOD | {"SECRET_KEY": GOOD["JWT_SECRET_KEY"]})) == {"SECRET_KEY"}


def test_a_secret_may_be_in_a_file(load, tmp_path):
    (tmp_path / "key").write_text(GOOD["SECRET_KEY"] + "\n")
    environment = {name: value for name, value in GOOD.items() if name != "SECRET_KEY"}
    assert load(**environment, SECRET_KEY_FILE=str(tmp_path / "key")).secret_key == GOOD["SECRET_KEY"]


HASH = "0f" * 32


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ("", []),
        (f"orders:{HASH}", [("orders", HASH)]),
        (f" orders:{HASH.upper()} , billing.v2:{HASH},", [("orders", HASH), ("billing.v2", HASH)]),
    ],
)
def test_the_keys_of_services_are_read(load, value, keys):
    assert load(**GOOD | {"SERVICE_KEYS": value}).service_keys == keys


@pytest.mark.parametrize(
    "value",
    [HASH, f":{HASH}", f"orders:{HASH}0", "orders:secret", f"or ders:{HASH}", f"a:b:{HASH}", f"a:{HASH};b:{HASH}"],
)
def test_keys_of_services_that_are_no_hashes_are_refused_and_not_printed(faults, value):
    found = faults(**GOOD | {"SERVICE_KEYS": value})
    assert set(found) == {"SERVICE_KEYS"}
    assert "secret" not in str(found)


def test_the_key_of_access_tokens_can_be_derived_from_the_secret_key(load):
    two = {name: GOOD[name] for name in ("MONGO_URI", "SECRET_KEY")}
    key = load(**two, DERIVE_JWT_KEY="true").jwt_secret_key
    assert len(key) == 64
    assert key == load(**two, DERIVE_JWT_KEY="true").jwt_secret_key
    assert key != load(**two | {"SECRET_KEY": GOOD["JWT_SECRET_KEY"]}, DERIVE_JWT_KEY="true").jwt_secret_key
    assert load(**GOOD, DERIVE_JWT_KEY="true").jwt_secret_key == GOOD["JWT_SECRET_KEY"]


def test_a_key_directory_comes_before_a_derived_key(load, tmp_path):
    settings = {name: GOOD[name] for name in ("MONGO_URI", "SECRET_KEY")} | {"JWT_KEY_DIR": str(tmp_path)}
    assert load(**settings, DERIVE_JWT_KEY="true").jwt_secret_key is None


def test_without_a_secret_key_only_this_one_is_missing(faults):
    assert set(faults(MONGO_URI=GOOD["MONGO_URI"], DERIVE_JWT_KEY="true")) == {"SECRET_KEY"}


KEYS = [base64.urlsafe_b64encode(bytes([number] * 32)).decode() for number in range(3)]


@pytest.mark.parametrize(
    ("value", "keys"), [("", []), (KEYS[0], KEYS[:1]), (",".join(KEYS), KEYS), (f" {KEYS[0]} , {KEYS[1]} ", KEYS[:2])]
)
def test_data_keys_are_read_in_their_order(load, value, keys):
    assert load(**GOOD | {"DATA_KEYS": value}).data_keys == keys


@pytest.mark.parametrize(
    "value",
    [
        *("x", KEYS[0][:-1], KEYS[0] + "=", KEYS[0].replace("A", "é", 1), "!" * 43 + "=", f"{KEYS[0]},"),
        *(f"{KEYS[0]},{KEYS[0]}", "A" * 42 + "B=", f"{KEYS[0]};{KEYS[1]}"),
    ],
)
def test_data_keys_that_are_none_or_repeated_are_refused(faults, value):
    assert set(faults(**GOOD | {"DATA_KEYS": value})) == {"DATA_KEYS"}


def test_a_second_factor_of_administrators_needs_data_keys(faults, load):
    assert set(faults(**GOOD, ADMIN_SECOND_FACTOR="true")) == {"ADMIN_SECOND_FACTOR"}
    assert load(**GOOD, ADMIN_SECOND_FACTOR="true", DATA_KEYS=KEYS[0]).admin_second_factor is True
