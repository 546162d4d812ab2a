"""The documentation keeps up with the code: settings, error codes, files."""

import ast
import re
from pathlib import Path

import pytest

import config
import pixora
from pixora import errors
from pixora.web import problems
from tests import ROOT

README = (ROOT / "README.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text().split("\n## ")[0]
ERRORS = (ROOT / "docs/errors.md").read_text()

COMPUTED = {
    "PUBLIC_URL or pixora": "public_url or 'pixora'",
    "host of PUBLIC_URL": "urlsplit(public_url or '').hostname",
    "cores": "os.cpu_count() or 1",
    "first_name,last_name,contact,birthday": "PROFILE_FIELDS",
}
"""Defaults that the table has in words, and their code."""


def settings_read_by_the_code():
    """Return the settings that config.py reads, with the code of each default, or "required"."""
    calls = [node for node in ast.walk(ast.parse(Path(config.__file__).read_text())) if isinstance(node, ast.Call)]
    # `limit` is the partial of env.str for throttles.
    read = [call for call in calls if ast.unparse(call.func).startswith("env.") or ast.unparse(call.func) == "limit"]
    named = [(call.args[0].value, call.args[1:]) for call in read if call.args]
    return {name: ast.unparse(default[0]) if default else "required" for name, default in named}


def settings_in_the_table():
    """Return the settings of the table, with each default as it is written there."""
    rows = [line.split("|")[1:3] for line in CONFIGURATION.splitlines() if line.startswith("| `")]
    return {
        name: default
        for names, defaults in rows
        for name, default in zip(re.findall(r"`([A-Z_]+)`", names), defaults.split(";"), strict=True)
    }


def test_the_table_lists_exactly_the_settings_that_the_code_reads():
    assert settings_in_the_table().keys() == settings_read_by_the_code().keys()


@pytest.mark.parametrize(("name", "documented"), settings_in_the_table().items(), ids=settings_in_the_table())
def test_the_table_has_the_default_of_the_code(name, documented):
    default = settings_read_by_the_code()[name]
    written = documented.replace("`", "").strip()
    if default in ("[]", "None", "required"):
        assert written in {"[]": ("none",), "None": ("none", "any"), "required": ("none, required",)}[default]
    else:
        assert written in (default.strip("'"), default.lower()) or COMPUTED.get(written) == default


def subclasses(kind):
    """Return all classes of errors of the package below one; features have theirs in modules of their own."""
    return {found for direct in kind.__subclasses__() for found in (direct, *subclasses(direct))}


def test_every_error_code_is_in_the_table():
    ours = {kind.code for kind in subclasses(errors.PixoraError) if "code" in vars(kind)}
    assert len(ours) > 20
    assert ours <= set(re.findall(r"`([a-z_]+)`", ERRORS))
    assert {"not_found", "method_not_allowed", "internal_server_error", "untrusted_host"} <= set(
        re.findall(r"`([a-z_]+)`", ERRORS)
    )
    assert problems.MEDIA_TYPE in ERRORS


@pytest.mark.parametrize("target", re.findall(r"""\]\(([^)]+)\)|src="([^"]+)\"""", README), ids=max)
def test_every_link_and_picture_of_the_readme_exists(target):
    path, _, anchor = max(target).partition("#")
    assert (ROOT / path).exists()
    assert not anchor or f"\n## {anchor}\n" in (ROOT / path).read_text()


def test_the_readme_is_two_screens_at_most():
    assert len(README.splitlines()) <= 100


def test_the_changelog_has_what_is_unreleased_and_then_this_version():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", pixora.__version__]


def test_what_is_unreleased_is_listed_by_kind_and_once():
    unreleased = re.search(r"^## Unreleased$(.*?)^## ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE | re.DOTALL)
    introduction, *parts = re.split(r"^### ", unreleased[1], flags=re.MULTILINE)
    assert "\n- " not in introduction
    kinds, order = [part.split("\n")[0] for part in parts], ["Added", "Changed", "Removed", "Fixed", "Security"]
    assert kinds == [kind for kind in order if kind in kinds]
    entries = re.findall(r"^- .*", unreleased[1], re.MULTILINE)
    assert len(entries) == len(set(entries))


@pytest.mark.parametrize("page", ["README.md", "docs/migration.md"])
def test_what_the_calls_of_a_page_leave_behind_is_ignored_by_git(page):
    """Tokens of the login, for example, must not be committed."""
    written = re.findall(r"(?:\| tee|curl .*-o) ([\w.-]+)", (ROOT / page).read_text())
    assert "login.json" in written
    assert set(written) <= set((ROOT / ".gitignore").read_text().split())


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("README.md", r"`git` and Python (.*):"),
        ("docs/start.md", r"`git` and Python (.*):"),
        ("docs/deployment.md", r"Python (.*) is required"),
        ("script/setup", r"Pixora needs Python (.*), and python3 is none"),
        ("script/lock", r"for python in (.*); do"),
        ("script/test-pythons", r"for version in (.*); do"),
    ],
)
def test_the_supported_versions_of_python_are_the_same_everywhere(file, line):
    [versions] = re.findall(line, (ROOT / file).read_text())
    assert re.findall(r"3\.\d+", versions) == ["3.11", "3.12", "3.13", "3.14"]
