"""The README keeps up with the code: settings, error codes, files."""

import ast
import re
from pathlib import Path

import pytest

import config
from pixora import errors
from pixora.web import problems

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CONFIGURATION = README.split("## Configuration")[1].split("\n## ")[0]
ERRORS = README.split("### Errors")[1].split("\n## ")[0]


COMPUTED = {
    "PUBLIC_URL or pixora": "public_url or 'pixora'",
    "cores": "os.cpu_count() or 1",
}
"""Defaults that the table says in words, and what the code has."""


def settings_read_by_the_code():
    """The settings that config.py reads, and the default of each as the code has it; "required" where there is none."""
    calls = [node for node in ast.walk(ast.parse(Path(config.__file__).read_text())) if isinstance(node, ast.Call)]
    read = [call for call in calls if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "env"]
    named = [(call.args[0].value, call.args[1:]) for call in read if call.args]
    return {name: ast.unparse(default[0]) if default else "required" for name, default in named}


def settings_in_the_table():
    """The settings of the table, and the default of each as it stands there."""
    rows = [line.split("|")[1:3] for line in CONFIGURATION.splitlines() if line.startswith("| `")]
    return {
        name: default
        for names, defaults in rows
        for name, default in zip(re.findall(r"`([A-Z_]+)`", names), defaults.split(";"), strict=True)
    }


def test_every_setting_is_in_the_table_and_no_other():
    assert settings_in_the_table().keys() == settings_read_by_the_code().keys()


@pytest.mark.parametrize(("name", "documented"), settings_in_the_table().items(), ids=settings_in_the_table())
def test_the_table_has_the_default(name, documented):
    default = settings_read_by_the_code()[name]
    said = documented.replace("`", "").strip()
    if default in ("[]", "None", "required"):
        assert said in {"[]": ("none",), "None": ("none", "any"), "required": ("none, required",)}[default]
    else:
        assert said in (default.strip("'"), default.lower()) or COMPUTED.get(said) == default


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
