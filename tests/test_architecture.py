"""The rules of the house that a reader relies on, kept by looking at the code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "pixora").rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def names(path):
    """Every dotted name that the module's code mentions."""
    return {ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}


def module(path):
    return path.relative_to(ROOT).as_posix()


def that_import(prefix):
    return {
        module(path)
        for path in MODULES
        if any(name == prefix or name.startswith(prefix + ".") for name in imports(path))
    }


def test_users_never_imports_auth():
    assert not [name for name in that_import("pixora.auth") if name.startswith("pixora/users/")]


def test_only_the_database_and_the_stores_know_pymongo():
    assert that_import("pymongo") | that_import("bson") == {
        "pixora/audit.py",
        "pixora/counts.py",
        "pixora/database.py",
        "pixora/embedded.py",
        "pixora/importing/batches.py",
        "pixora/indexes.py",
        "pixora/outages.py",
        "pixora/upkeep/addresses.py",
        "pixora/upkeep/rewriting.py",
        "pixora/upkeep/upgrade.py",
        "pixora/users/administrators.py",
        "pixora/users/directory.py",
        "pixora/users/letters.py",
        "pixora/users/sessions.py",
        "pixora/users/store.py",
    }


def test_the_package_never_imports_the_configuration():
    assert that_import("config") == set()


def test_extensions_import_third_parties_only():
    assert "pixora/extensions.py" not in that_import("pixora")


def test_errors_import_nothing_of_ours():
    assert "pixora/errors.py" not in that_import("pixora")


def test_passwords_know_no_flask():
    assert not {"pixora/passwords.py", "pixora/foreign_hashes.py"} & that_import("flask")
    assert "pixora/foreign_hashes.py" not in that_import("pixora")
    ours = {name for name in imports(ROOT / "pixora/passwords.py") if name.startswith("pixora.")}
    assert ours == {"pixora.foreign_hashes", "pixora.foreign_hashes.ForeignHash"}


def test_the_service_does_not_need_the_embedded_database():
    assert that_import("pixora.embedded") == set()


@pytest.mark.parametrize("path", MODULES, ids=module)
def test_only_the_clock_tells_the_time(path):
    forbidden = {
        "datetime.now",
        "datetime.utcnow",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.date.today",
        "date.today",
        "time.time",
    }
    assert module(path) == "pixora/clock.py" or not names(path) & forbidden


@pytest.mark.parametrize("path", MODULES, ids=module)
def test_only_the_configuration_reads_the_environment(path):
    assert not names(path) & {"os.environ", "os.getenv", "environ.get"}


@pytest.mark.parametrize("path", [*MODULES, ROOT / "config.py", ROOT / "config_rules.py"], ids=module)
def test_a_module_holds_one_idea(path):
    assert len(path.read_text().splitlines()) <= 300


def test_every_operation_on_the_database_has_a_name_in_the_metrics():
    unnamed = {
        module(path)
        for path in MODULES
        if not module(path).startswith("pixora/upkeep/")  # commands, which nobody scrapes
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("translated_errors") and not node.args
    }
    assert unnamed == set()
