"""Generators make clients that compile, and that sign up, log in, read, refresh, change and log out."""

import json
import os
import shutil

import pytest

from tests.system.clients import packages
from tests.system.clients.packages import HERE, run

GENERATE = {
    "fetch": ("openapi-typescript", "openapi.json", "--output", "openapi-typescript/schema.ts"),
    "hey-api": ("openapi-ts", "--file", "openapi-ts.config.mjs"),
    "orval": ("orval", "--input", "openapi.json", "--output", "orval/pixora.ts", "--client", "fetch"),
}
"""The commands, by the program in generated/ that uses the client: fetch.ts is for openapi-fetch."""


@pytest.fixture(scope="module")
def environment(gunicorn):
    with gunicorn() as url:
        yield {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "URL": url}


@pytest.fixture(scope="module")
def folder(session_app, tmp_path_factory):
    """A folder with the document and with the programs that use the clients."""
    folder = tmp_path_factory.mktemp("generated") / "programs"
    shutil.copytree(HERE / "generated", folder)
    (folder / "openapi.json").write_text(json.dumps(session_app.test_client().get("/openapi.json").json))
    return folder


@pytest.fixture(scope="module")
def compiled(folder, node_modules, environment):
    """The programs in TypeScript, compiled at once with the clients of all generators."""
    (folder / "node_modules").symlink_to(node_modules)
    (folder / "package.json").write_text('{"type": "module"}')
    for program, *arguments in GENERATE.values():
        run(folder / "node_modules/.bin" / program, *arguments, cwd=folder, env=environment)
    run("node_modules/.bin/tsc", "--project", ".", cwd=folder, env=environment)
    return folder / "built"


@pytest.mark.parametrize("name", GENERATE)
def test_a_client_in_typescript_compiles_and_works(compiled, environment, name):
    run("node", compiled / f"{name}.js", cwd=compiled.parent, env=environment)


def test_a_client_in_python_imports_and_works(folder, environment):
    python = packages.python()
    path = {"PATH": f"{python}:{environment['PATH']}"}  # it formats the client with the ruff beside it
    generate = "generate", "--path", "openapi.json", "--output-path", "pixora_client", "--meta", "none"
    printed = run(python / "openapi-python-client", *generate, cwd=folder, env=environment | path)
    assert "Warning" not in printed
    modules = [".".join(path.with_suffix("").parts) for path in (folder / "pixora_client").rglob("*.py")]
    imports = "".join(f"import {name[name.index('pixora_client') :].removesuffix('.__init__')}\n" for name in modules)
    run(python / "python", "-c", imports, cwd=folder, env=environment)
    run(python / "python", "python.py", cwd=folder, env=environment)
