"""Values that cannot be read at all, in variables and in files: each is a fault of its variable."""

import os
from dataclasses import fields

import pytest

import config
from tests.configuration.conftest import GOOD

SETTINGS = [
    *(field.name.upper() for field in fields(config.Settings) if field.name not in ("testing", "tracing")),
    *("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
]


@pytest.mark.parametrize("environment", ["production", "testing"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_value_that_is_not_utf_8_is_named(faults, name, environment):
    assert set(faults(**GOOD | {"PIXORA_ENV": environment, name: os.fsdecode(b"\xff" * 40)})) == {name}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_file_that_is_not_utf_8_is_named(faults, tmp_path, name):
    (tmp_path / "value").write_bytes(b"\xff" * 40)
    found = faults(**GOOD, **{f"{name}_FILE": str(tmp_path / "value")})
    assert set(found) == {name}
    assert f"{name}_FILE" in found[name][0]


@pytest.mark.parametrize("path", ["missing", "", "file/below", "loop", "x" * 300])
def test_a_file_that_cannot_be_read_is_named_beside_other_faults(faults, tmp_path, path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    found = faults(**GOOD, SECRET_KEY_FILE=str(tmp_path / path), BCRYPT_ROUNDS="x")
    assert set(found) == {"SECRET_KEY", "BCRYPT_ROUNDS"}
    assert "SECRET_KEY_FILE" in found["SECRET_KEY"][0]


@pytest.mark.parametrize(
    "name", ["MONGO_URI", "SMTP_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
)
def test_a_url_that_cannot_be_split_is_named(faults, name):
    assert set(faults(**GOOD | {name: "http://[::1"})) == {name}
