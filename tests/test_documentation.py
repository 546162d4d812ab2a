"""The README keeps up with the code: settings, error codes, files."""

import re
from pathlib import Path

import pytest

import config
from pixora import errors, problems

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CONFIGURATION = README.split("## Configuration")[1].split("\n## ")[0]
ERRORS = README.split("### Errors")[1].split("\n## ")[0]


def settings_read_by_the_code():
    return set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', Path(config.__file__).read_text()))


def test_every_setting_is_in_the_table_and_no_other():
    rows = [line.split("|")[1] for line in CONFIGURATION.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)} == settings_read_by_the_code()


@pytest.mark.parametrize(
    "name",
    [
        "JWT_ACCESS_TOKEN_EXPIRES",
        "BCRYPT_ROUNDS",
        "PASSWORD_MIN_LENGTH",
        "PROXY_COUNT",
        "MAX_CONTENT_LENGTH",
        "DATABASE_TIMEOUT_MS",
        "GUNICORN_THREADS",
        "AUDIT_DAYS",
    ],
)
def test_the_table_has_the_default(settings, name):
    [row] = [line for line in CONFIGURATION.splitlines() if line.startswith(f"| `{name}`")]
    documented = row.split("|")[2].strip()
    default = re.search(rf'"{name}", (\w+)', Path(config.__file__).read_text())
    assert documented == default[1]


@pytest.mark.parametrize("name", sorted(name for name in settings_read_by_the_code() if name.startswith("THROTTLE_")))
def test_the_table_has_the_default_limit(name):
    [row] = [line for line in CONFIGURATION.splitlines() if line.startswith(f"| `{name}`")]
    default = re.search(rf'env\.str\(\s*"{name}", "([^"]+)"', Path(config.__file__).read_text())
    assert row.split("|")[2].strip() == f"`{default[1]}`"


def test_every_error_code_is_in_the_table():
    ours = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.PixoraError) and kind is not errors.PixoraError
    }
    assert ours <= set(re.findall(r"`([a-z_]+)`", ERRORS))
    assert {"not_found", "method_not_allowed", "internal_server_error", "untrusted_host"} <= set(
        re.findall(r"`([a-z_]+)`", ERRORS)
    )
    assert problems.MEDIA_TYPE in ERRORS


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:script|deploy|benchmarks|tests)/[\w./-]+)`", README))))
def test_every_file_that_is_named_is_there(name):
    assert (ROOT / name).exists()


def test_the_changelog_begins_with_what_is_not_released_or_with_this_version():
    assert re.search(r"^## (Unreleased|\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
