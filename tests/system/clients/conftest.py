"""Other people's clients and tools, from their locks."""

import json

import pytest

from tests.system.clients import packages


@pytest.fixture(scope="session")
def node_modules():
    return packages.node_modules()


@pytest.fixture
def folder(node_modules, tmp_path):
    """A folder in which Node finds the packages."""
    (tmp_path / "node_modules").symlink_to(node_modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


@pytest.fixture
def document(session_app, folder):
    """The file with the OpenAPI document."""
    path = folder / "openapi.json"
    path.write_text(json.dumps(session_app.test_client().get("/openapi.json").json))
    return path
