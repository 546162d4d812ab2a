"""The site of docs/ builds without warnings, loads nothing from other servers, and agrees with the code."""

import ast
import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import api_page
import pytest
import yaml

from tests.conftest import make_account
from tests.documents import PAGES, ROOT, blocks
from tests.factories import PASSWORD, sign_up

NAMED = re.compile(r"`((?:tests|pixora|deploy|script|benchmarks|examples)/[\w./-]+?)(?:::(\w+))?`")

OPERATIONS = re.compile(r"^\| (`[A-Z].+?) \| (\d+) \| (\d+) \|$", re.MULTILINE)
WRITES = ("insert", "update", "delete", "findAndModify")


def build(source, output):
    """Build pages as `script/docs` does, with the configuration of docs/."""
    [command] = [line for line in (ROOT / "script/docs").read_text().splitlines() if "sphinx-build" in line]
    options = re.findall(r"--[\w-]+", command)
    return subprocess.run(
        [Path(sys.executable).with_name("sphinx-build"), *options, "-c", ROOT / "docs", source, output],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    output = tmp_path_factory.mktemp("site") / "html"
    run = subprocess.run([ROOT / "script/docs", "--output", output], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"Built: {output}/index.html\n"
    return output


def test_the_site_has_every_page(site):
    assert {page.stem for page in PAGES} <= {page.stem for page in site.glob("*.html")}


def test_the_site_loads_nothing_from_other_servers(site):
    for page in site.rglob("*.html"):
        assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=.(?:https?:)?//", page.read_text()), page
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text()), style


def test_the_api_page_has_every_route(site, client):
    page = (site / "api.html").read_text()
    paths = client.get("/openapi.json").json["paths"]
    routes = {f"{method.upper()} {path}" for path, item in paths.items() for method in item.keys() - {"parameters"}}
    assert set(re.findall(r"<h3>([A-Z]+ .+?)<", page)) == routes - {f"GET {path}" for path in api_page.INTERNAL}


def test_a_broken_link_or_anchor_or_an_unlisted_page_fails_the_build(tmp_path):
    (tmp_path / "index.md").write_text("# T\n\n[a](gone.md) [b](#gone) [c](index.md#gone) {{ gone }}\n")
    (tmp_path / "lonely.md").write_text("# L\n")
    run = build(tmp_path, tmp_path / "html")
    assert run.returncode == 1
    assert run.stderr.count("[myst.xref_missing]") == 3
    assert "[toc.not_included]" in run.stderr
    assert "[myst.substitution]" in run.stderr


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_block_is_well_formed(block):
    match block.language:
        case "sh" | "console":  # they run in tests/system/test_docs_site.py
            pass
        case "json":
            json.loads(block.text)
        case "yaml":
            yaml.safe_load(block.text)
        case "ini":
            configparser.ConfigParser().read_string(block.text)
        case "python":
            ast.parse(block.text)
        case "js":  # tests/system/clients/test_clients.py runs them
            pass
        case language:  # promql: tests/test_monitoring.py
            assert language in ("text", "mermaid", "promql", "java", "properties", "swift", "kotlin")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_test_that_a_page_names_exists(page):
    for name, test in NAMED.findall(page.read_text()):
        assert (ROOT / name).exists(), name
        assert not test or f"def {test}(" in (ROOT / name).read_text(), test


def test_a_request_makes_the_database_operations_of_the_table(client, app, watch_commands):
    account, other = make_account(client), make_account(client, email="grace@example.com")
    form = {"username": account.email, "password": PASSWORD}
    grant = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    changed = {"current_password": PASSWORD, "new_password": "analytical-engine-no-3"}
    calls = {
        "`GET /api/users/me`": lambda: client.get("/api/users/me", headers=account.bearer),
        "`POST /api/auth/refresh`": lambda: client.post("/api/auth/refresh", data=grant),
        "`POST /api/auth/login`": lambda: client.post("/api/auth/login", data=form),
        "`POST /api/auth/login`, wrong password": lambda: client.post("/api/auth/login", data=form | {"password": "x"}),
        "`POST /api/auth/signup`": lambda: sign_up(client, email="new@example.com"),
        "`PATCH /api/users/me`": lambda: client.patch("/api/users/me", json={"last_name": "K"}, headers=account.bearer),
        "`POST /api/auth/logout`": lambda: client.post("/api/auth/logout", headers=other.bearer),
        "`POST /api/users/me/password`": lambda: client.post(
            "/api/users/me/password", json=changed, headers=account.bearer
        ),
        "`POST /api/auth/password-reset`": lambda: client.post(
            "/api/auth/password-reset", json={"email": account.email}
        ),
    }
    table = (ROOT / "docs/scaling.md").read_text().split("## What the database does")[1].split("\n## ")[0]
    documented = {name: (int(reads), int(writes)) for name, reads, writes in OPERATIONS.findall(table)}
    assert documented.keys() == calls.keys()
    for name, call in calls.items():
        with watch_commands() as commands:
            assert call().status_code in (200, 201, 202, 204, 401)
        writes = sum(command.command_name in WRITES for command in commands)
        assert (len(commands) - writes, writes) == documented[name], name


def test_every_event_that_a_command_searches_in_the_log_exists():
    code = "".join(path.read_text() for path in (ROOT / "pixora").rglob("*.py"))
    asked = re.findall(
        r'"event": "\(?([a-z_|]+)\)?(?:_\(([a-z_|]+)\))?"', "".join(block.text for block in blocks("sh"))
    )
    names = [
        f"{first}_{end}" if end else first
        for names, ends in asked
        for first in names.split("|")
        for end in ends.split("|")
    ]
    assert len(names) > 5
    for name in names:
        assert f'"{name}"' in code, name


def test_each_line_of_the_security_model_names_its_test_or_is_marked_as_a_limit():
    page = (ROOT / "docs/security.md").read_text()
    lines = re.findall(r"^- (.+?)(?=\n- |\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    assert len(lines) > 20
    for line in lines:
        assert "`tests/" in line or "**" in line, line
