"""Other people's clients and tools, from their locks."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

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


@pytest.fixture(scope="session")
def key_dir(tmp_path_factory):
    """A directory with a key that signs access tokens."""
    directory = tmp_path_factory.mktemp("keys")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "one.pem").write_bytes(pem)
    return directory
