"""The rules of the house that a reader relies on, kept by looking at the code."""

import ast

import pytest

from tests import ROOT

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


ORDER = (
    ("pixora.clock", "pixora.emails", "pixora.errors"),
    ("pixora.web",),
    ("pixora.observability",),
    ("pixora.server",),
    ("pixora.database",),
    ("pixora.passwords",),
    ("pixora.tokens",),
    ("pixora.throttling",),
    ("pixora.accounts",),
    ("pixora.email_templates",),
    ("pixora.services",),
    ("pixora.cli",),
    ("pixora.factors", "pixora.passkeys"),
    ("pixora.auth",),
    ("pixora.factors.schemas",),
    ("pixora.oauth",),
    ("pixora.users",),
    ("pixora.admin",),
    ("pixora.mail",),
    (
        *("pixora.passkeys.login", "pixora.passkeys.management", "pixora.passkeys.password_removal"),
        "pixora.passkeys.routes",
    ),
    (
        *("pixora.factors.administration", "pixora.factors.commands", "pixora.factors.login"),
        *("pixora.factors.management", "pixora.factors.routes"),
    ),
    ("pixora.pages",),
    ("pixora.system",),
    ("pixora.development",),
    ("pixora.importing", "pixora.upkeep"),
    ("pixora.commands",),
    ("pixora",),
)
"""The parts of the package from the ground up: each may import those above it in this list, and none below.

Of the second factor and of passkeys, what the core asks comes before it, and the routes come after it.
"""


def level(name):
    """Return the place of a module, by its dotted name, in `ORDER`; the longest part that it belongs to counts."""
    places = (
        (len(part), number)
        for number, parts in enumerate(ORDER)
        for part in parts
        if name == part or (name.startswith(part + ".") and part != "pixora")
    )
    return max(places)[1]


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {dotted(path) for path in MODULES}


def modules_imported_by(path):
    """Return the modules of ours that a module imports, by their dotted names."""
    found = set()
    for name in imports(path):
        if name.startswith("pixora"):
            found.add(name if name in NAMES else name.rsplit(".", 1)[0])
    return found & NAMES


@pytest.mark.parametrize("path", MODULES, ids=module)
def test_imports_go_up_the_list_and_never_down(path):
    own = level(dotted(path))
    below = {name for name in modules_imported_by(path) if level(name) > own}
    assert not {name for name in below if name != "pixora"}


def test_no_module_imports_another_that_imports_it():
    graph = {dotted(path): modules_imported_by(path) - {"pixora", dotted(path)} for path in MODULES}
    graph["pixora"] = set()
    while free := {name for name, needed in graph.items() if not needed & graph.keys()}:
        graph = {name: needed for name, needed in graph.items() if name not in free}
    assert graph == {}


def test_only_the_database_and_the_stores_know_pymongo():
    assert that_import("pymongo") | that_import("bson") == {
        "pixora/accounts/administrators.py",
        "pixora/accounts/audit.py",
        "pixora/accounts/bulk.py",
        "pixora/accounts/directory.py",
        "pixora/accounts/documents.py",
        "pixora/accounts/factors.py",
        "pixora/accounts/hash_census.py",
        "pixora/accounts/outbox.py",
        "pixora/accounts/passkeys.py",
        "pixora/accounts/sessions.py",
        "pixora/accounts/users.py",
        "pixora/database/client.py",
        "pixora/database/failures.py",
        "pixora/database/indexes.py",
        "pixora/throttling/counters.py",
    }


def test_only_the_accounts_and_the_throttles_name_collections():
    naming = {
        module(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "collection"
    }
    assert {name.split("/")[1] for name in naming} == {"accounts", "throttling"}


def test_the_package_takes_nothing_from_the_configuration_but_the_type_of_the_settings():
    assert {name for path in MODULES for name in imports(path) if name.startswith("config")} == {
        "config",
        "config.Settings",
    }


def test_the_package_root_is_small():
    assert len(list((ROOT / "pixora").glob("*.py"))) <= 8


def test_errors_import_nothing_of_ours():
    assert "pixora/errors.py" not in that_import("pixora")


def test_of_the_passwords_only_the_queue_knows_the_rest_of_the_service():
    theirs = {module(path) for path in MODULES if module(path).startswith("pixora/passwords/")}
    assert not theirs & that_import("flask")
    assert not theirs & that_import("pixora.database")


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


@pytest.mark.parametrize("path", MODULES, ids=module)
def test_a_module_has_at_most_300_lines(path):
    assert len(path.read_text().splitlines()) <= 300


def test_the_configuration_has_at_most_600_lines():
    # One file, because the top level of the repository is fixed: the settings and the checks of their values.
    assert len((ROOT / "config.py").read_text().splitlines()) <= 600


def test_every_operation_on_the_database_has_a_name_in_the_metrics():
    unnamed = {
        module(path)
        for path in MODULES
        if not module(path).startswith("pixora/upkeep/")  # commands, which nobody scrapes
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("translated_errors") and not node.args
    }
    assert unnamed == set()
