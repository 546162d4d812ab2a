"""What the doctor says of settings, secrets and signing keys."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pixora.upkeep import settings as checks_of_settings
from pixora.upkeep.findings import State


def test_a_weak_write_concern_in_the_uri_is_found(fault_of, settings):
    message = fault_of("write_concern", MONGO_URI=f"{settings.mongo_uri}&w=1&journal=false")
    assert "w=1 and journal=false" in message
    assert "use w=majority" in message


@pytest.mark.parametrize(
    ("options", "state"),
    [
        *(("w=0", State.FAULT), ("W=1", State.FAULT), ("journal=false", State.FAULT), ("w=1&tls=true", State.FAULT)),
        *(("w=majority", State.OK), ("w=majority&journal=true", State.OK), ("w=3", State.OK), ("", State.OK)),
    ],
)
def test_which_write_concerns_are_weak(settings, options, state):
    [finding] = checks_of_settings.write_concern(replace(settings, mongo_uri=f"mongodb://localhost/pixora?{options}"))
    assert finding.state is state


@pytest.mark.parametrize(
    ("url", "states"),
    [
        ("http://auth.example.com", [State.OK, State.WARNING]),
        *(("https://auth.example.com", [State.OK]), ("http://localhost:8000", [State.OK]), (None, [State.OK])),
    ],
)
def test_a_public_url_without_tls_is_reported(settings, url, states):
    findings = checks_of_settings.environment(replace(settings, pixora_env="production", public_url=url))
    assert [finding.state for finding in findings] == states


def test_disabled_retryable_writes_are_reported(settings):
    [_, finding] = checks_of_settings.write_concern(
        replace(settings, mongo_uri="mongodb://localhost/pixora?retryWrites=false")
    )
    assert (finding.state, "retryWrites=false" in finding.message) == (State.WARNING, True)


@pytest.mark.parametrize(
    ("uri", "states"),
    [
        ("mongodb://localhost/pixora", ["ok"]),
        ("mongodb://user:hunter2@127.0.0.1:27017,[::1]:27018/pixora", ["ok"]),
        ("mongodb://user:hunter2@%2Ftmp%2Fmongodb-27017.sock/pixora", ["ok"]),
        ("mongodb+srv://user:hunter2@cluster0.example.net/pixora", ["ok"]),
        ("mongodb://user:hunter2@db.example.com/pixora?tls=true", ["ok"]),
        ("mongodb://user:hunter2@db.example.com/pixora?SSL=true", ["ok"]),
        ("mongodb://mongo:27017/pixora?replicaSet=rs0", ["warning"]),
        ("mongodb://user:hunter2@10.0.0.5,10.0.0.6/pixora", ["warning"]),
        ("mongodb://db.example.com/pixora", ["warning"]),
        ("mongodb://user:hunter2@db.example.com/pixora", ["fault"]),
        ("mongodb://user:hunter2@10.0.0.5,db.example.com:27018/pixora", ["fault"]),
        ("mongodb+srv://user:hunter2@cluster0.example.net/pixora?tls=false", ["fault"]),
        ("mongodb://user:hunter2@db.example.com/pixora?tls=true&tlsAllowInvalidCertificates=true", ["fault"]),
        ("mongodb://user:hunter2@db.example.com/pixora?tls=true&tlsInsecure=true", ["fault"]),
    ],
)
def test_unencrypted_connections_are_found(settings, uri, states):
    findings = list(checks_of_settings.uri(replace(settings, mongo_uri=uri)))
    assert [finding.state for finding in findings] == states
    assert "hunter2" not in str(findings)


def test_a_public_url_that_is_not_a_trusted_host_is_found(fault_of):
    message = fault_of("environment", PUBLIC_URL="http://localhost:9", TRUSTED_HOSTS=["other.example.com"])
    assert "Add localhost to TRUSTED_HOSTS" in message


@pytest.fixture
def key_directory(tmp_path):
    path = tmp_path / "keys"
    path.mkdir(mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (path / "2026.pem").write_bytes(pem)
    (path / "2026.pem").chmod(0o600)
    return path


def test_the_signing_key_is_reported(doctor, key_directory):
    found = doctor(JWT_SECRET_KEY=None, JWT_KEY_DIR=str(key_directory))[1]
    assert found["signing_key"] == [("ok", "2026 signs the access tokens.", "")]


def test_a_missing_key_is_found(fault_of, key_directory):
    (key_directory / "2026.pem").unlink()
    assert "keys generate" in fault_of("signing_key", JWT_SECRET_KEY=None, JWT_KEY_DIR=str(key_directory))


def test_keys_that_others_can_read_or_add_are_found(fault_of, key_directory):
    (key_directory / "2026.pem").chmod(0o644)
    assert "chmod 600 2026.pem" in fault_of("signing_key", JWT_SECRET_KEY=None, JWT_KEY_DIR=str(key_directory))
    (key_directory / "2026.pem").chmod(0o600)
    key_directory.chmod(0o777)
    assert "chmod o-w" in fault_of("signing_key", JWT_SECRET_KEY=None, JWT_KEY_DIR=str(key_directory))


def test_strong_secrets_are_accepted_in_production(users, indexed, shell):
    result = shell()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ok       secrets: The secrets are long and hard to guess." in result.stdout


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
def test_a_secret_that_is_too_short_is_found(fault_of, name):
    message = fault_of("secrets", **{name: "hunter2" * 4})
    assert f"{name} has fewer than 32 bytes" in message
    assert "→ Make one with: python3 -c" in message
    assert "hunter2" not in message


def test_an_unusable_key_file_is_found(shell, tmp_path):
    (tmp_path / "1.pem").write_text("hunter2")
    result = shell(JWT_SECRET_KEY="", JWT_KEY_DIR=str(tmp_path))
    assert result.returncode == 1
    assert "JWT_KEY_DIR: 1.pem is not an unencrypted PEM file of a key" in result.stdout
    assert "hunter2" not in result.stdout + result.stderr
