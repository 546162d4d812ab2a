"""Other people's OAuth clients against a service, and the page that tells of them."""

import hashlib
import importlib.metadata
import json
import os
import re
import secrets
import sys

import pytest
from mongod import free_port

from tests import ROOT
from tests.documents import blocks
from tests.factories import PASSWORD, sign_up
from tests.system.client import Client
from tests.system.clients.packages import HERE, run

PAGE = (ROOT / "docs/clients.md").read_text()
FLOWS = sorted((HERE / "flows").iterdir())
NAMES = {"use_authlib": "Authlib", "use_requests_oauthlib": "requests-oauthlib"}
NAME = re.compile(r"^## (.+)", re.MULTILINE)
GENERATORS = ("@hey-api/openapi-ts", "openapi-typescript", "orval")
EMAIL = "ada@example.com"


@pytest.fixture(scope="module")
def environment(gunicorn, key_dir):
    """The environment of a client: where a service is, who has signed up there, and the key of another service."""
    port, key = free_port(), secrets.token_urlsafe(32)
    url = f"http://127.0.0.1:{port}"
    keys = f"orders:{hashlib.sha256(key.encode()).hexdigest()}"
    with gunicorn(port, JWT_SECRET_KEY="", JWT_KEY_DIR=str(key_dir), PUBLIC_URL=url, SERVICE_KEYS=keys):
        assert sign_up(Client(url), email=EMAIL).status_code == 201
        insecure = dict.fromkeys(("OAUTHLIB_INSECURE_TRANSPORT", "AUTHLIB_INSECURE_TRANSPORT"), "1")
        client = {"URL": url, "EMAIL": EMAIL, "PASSWORD": PASSWORD, "SERVICE_KEY": key}
        yield {"PATH": os.environ["PATH"]} | insecure | client


@pytest.fixture
def run_script(environment, folder):
    def run_script(text, language):
        script = folder / f"script.{language}"
        script.write_text(text)
        program = ["node"] if language == "mjs" else [sys.executable, "-W", "error"]
        return run(*program, script, cwd=folder, env=environment)

    return run_script


def row(flow, shown, node_modules):
    """The row of a client in the table of the page."""
    name = NAMES.get(flow.stem, flow.stem)
    if flow.suffix == ".py":
        version = importlib.metadata.version(name)
    else:
        version = json.loads((node_modules / name / "package.json").read_text())["version"]
    return f"| {name} | {version} | {', '.join(shown)} |\n"


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.stem)
def test_a_client_does_what_the_table_says(flow, run_script, node_modules):
    shown = json.loads(run_script(flow.read_text(), flow.suffix[1:]))
    assert row(flow, shown, node_modules) in PAGE


def test_the_table_has_no_other_client():
    named = re.findall(r"^\| ([\w-]+) \| [\d.]+ \| ", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(NAMES.get(flow.stem, flow.stem) for flow in FLOWS)


@pytest.mark.parametrize("block", [block for block in blocks("python", "js") if block.page == "clients.md"], ids=str)
def test_an_example_of_the_page_logs_in_and_reads_the_profile(block, run_script, environment):
    text = block.text.replace("http://127.0.0.1:8000", environment["URL"])
    assert run_script(text, {"js": "mjs", "python": "py"}[block.language]).strip() == EMAIL


def test_the_page_has_the_versions_of_the_generators():
    locked = json.loads((HERE / "package-lock.json").read_text())["packages"]
    versions = {name: locked[f"node_modules/{name}"]["version"] for name in GENERATORS}
    versions |= dict(re.findall(r"^(openapi-python-client)==(\S+)", (HERE / "generator.txt").read_text(), re.MULTILINE))
    table = PAGE.split("| generator | version |\n|---|---|\n")[1].split("\n\n")[0]
    assert table.splitlines() == [f"| {name} | {version} |" for name, version in sorted(versions.items())]


def test_the_page_has_an_example_of_each_client():
    wanted = {"curl", "requests-oauthlib", "Authlib", "httpx", "openid-client", "oauth4webapi", "axios", "Spring"}
    assert set(NAME.findall(PAGE)) >= wanted
