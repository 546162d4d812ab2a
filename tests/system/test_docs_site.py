"""The commands of docs/ work on a real service, with the documented output."""

import contextlib
import doctest
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request

import api_page
import pyotp
import pytest
from mongod import free_port

from tests import smtp_server
from tests.authority import Authority
from tests.conftest import make_account, promote
from tests.documents import ROOT, blocks, commands
from tests.factories import PASSWORD, SERVICE_KEY, SERVICE_KEYS, fastapi_user, log_in, signup_body
from tests.passkeys.authenticator import Authenticator
from tests.system.conftest import running_nginx
from tests.timeouts import LONG

NOT_RUN = {
    ("README.md", ""): "tests/system/test_server.py runs script/server and the calls",
    ("start.md", ""): "tests/system/test_server.py runs script/server and the commands for administrators",
    ("deployment.md", "docker compose up"): "needs Docker; script/test-image builds the image and makes the calls",
    ("deployment.md", "docker run"): "needs Docker; script/test-image runs the image with these two variables",
    ("deployment.md", "kubectl"): "needs a cluster; tests/test_deploy_files.py checks the manifests by their schema",
    ("deployment.md", "docker buildx"): "needs a registry",
    ("deployment.md", "pip install"): "takes a minute; script/setup and the Dockerfile install from the same lock",
    ("deployment.md", "systemctl"): "needs systemd; test_the_units_are_well_formed checks the units",
    ("runbook.md", "systemctl"): "needs systemd",
    ("migration.md", "systemctl"): "needs systemd",
    (
        "moving.md",
        "",
    ): "tests/importing/test_moving.py runs the conversions; exports need the other service",
    ("emails.md", "--watch"): "runs until it is stopped; tests/system/test_mail.py does both",
    ("emails.md", "check-enumeration"): "tests/system/test_enumeration.py runs it",
}
"""Blocks that do not run, by page and a part of their text, with the reason. Their syntax is checked nevertheless."""

DIFFERING = {
    r"\b\d{8}T\d{6}Z-(es256|eddsa|rs256)-[0-9a-f]{4}\b": r"KEY-\1",
    r"\b[0-9a-f]{24,32}\b": "ID",
    r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z": "TIME",
}
"""Output that differs between runs, and its replacement when a page is compared with a run."""


def not_run(block):
    return next((why for (page, text), why in NOT_RUN.items() if page == block.page and text in block.text), None)


def bash(script, **options):
    return subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def environment(mongo_uri, settings):
    return {
        "PIXORA_ENV": "testing",
        "MONGO_URI": mongo_uri,
        "SECRET_KEY": settings.secret_key,
        "JWT_SECRET_KEY": settings.jwt_secret_key,
        "SERVICE_KEYS": SERVICE_KEYS,
        "DATA_KEYS": ",".join(settings.data_keys),
        "WEBAUTHN_RP_ID": settings.webauthn_rp_id,
        "WEBAUTHN_ORIGINS": ",".join([*settings.webauthn_origins, f"https://{settings.webauthn_rp_id}"]),
        "WEBAUTHN_ANDROID_APPS": ",".join(settings.webauthn_android_apps),
        "WEBAUTHN_APPLE_APPS": "A1B2C3D4E5.com.example.app",
        "LINK_ENROLL_PASSKEY": "https://app.example.com/passkeys/new",
        "LINK_MANAGE_PASSKEYS": settings.link_manage_passkeys,
    }


@pytest.fixture(scope="module")
def service(gunicorn, environment):
    """A service with the database and the secrets of the tests, so that the users and tokens of `client` work on it."""
    with gunicorn(**environment) as url:
        yield url


@pytest.fixture
def places(service, tmp_path):
    """Map the paths and addresses of the pages to those of the test. The checkout is of links: commands can write."""
    checkout = tmp_path / "opt"
    checkout.mkdir()
    for path in ROOT.iterdir():
        (checkout / path.name).symlink_to(path)
    for name in ("nginx", "log", "bin"):
        (tmp_path / name).mkdir()
    # The log that systemd would have collected.
    (tmp_path / "bin/journalctl").write_text(f"#!/bin/sh\ncat {service.log}\n")
    (tmp_path / "bin/journalctl").chmod(0o700)
    return {
        "http://127.0.0.1:8000": service,
        "/opt/pixora": checkout,
        "/etc/pixora": tmp_path / "etc",
        "/etc/nginx": tmp_path / "nginx",
        "/var/log/nginx": tmp_path / "log",
        "/run/nginx.pid": tmp_path / "nginx.pid",
        "/tmp/nginx": tmp_path / "nginx/tmp",
        "127.0.0.1:8001": f"127.0.0.1:{free_port()}",
        "/run/pixora-trial.pid": tmp_path / "trial.pid",
    }


def here(text, places):
    return re.sub("|".join(map(re.escape, places)), lambda found: str(places[found[0]]), text)


@pytest.fixture
def variables_of(environment, service, client, mongo, mongo_uri):
    """The environment variables that a page expects."""

    def make(page, smtp_url):
        if page == "deployment.md":  # it creates its environment
            return {}
        if page == "migration.md":
            uri = mongo_uri.replace("?", "_migration?")
            mongo.drop_database(f"{mongo.get_default_database().name}_migration")
            old = mongo.get_database(f"{mongo.get_default_database().name}_migration")["users"]
            old.insert_many([fastapi_user(), fastapi_user(email="Ada@Example.com")])
            few = {"BCRYPT_ROUNDS": "4", "WEB_CONCURRENCY": "1", "GUNICORN_THREADS": "8"}
            return environment | few | {"MONGO_URI": uri, "EMAIL": "Ada@Example.com", "PASSWORD": PASSWORD}
        account = make_account(client)
        known = {"TOKEN": account.token, "REFRESH_TOKEN": account.refresh_token, "USER_ID": account.id}
        known |= {"EMAIL": account.email, "PASSWORD": PASSWORD, "SERVICE_KEY": SERVICE_KEY}
        mail = {"SMTP_URL": smtp_url, "MAIL_FROM": "pixora@example.com"}
        return environment | known | mail | {"PUBLIC_URL": service}

    return make


@pytest.mark.parametrize("page", sorted({block.page for block in blocks("sh", "console") if not not_run(block)}))
def test_the_commands_of_a_page_work_and_print_the_documented_output(page, places, variables_of, tmp_path):
    found = [block for block in blocks("sh", "console") if block.page == page and not not_run(block)]
    wanted = [command for block in found for command in commands(block)]
    script = "\n".join(f"printf '\\036'\n{here(command.text, places)}" for command in wanted)
    path = f"{ROOT}/.venv/bin:{tmp_path}/bin:{os.environ['PATH']}:/usr/sbin"
    (tmp_path / "etc").mkdir()
    try:
        with smtp_server.running(free_port()) as smtp:
            variables = variables_of(page, smtp.url) | {"PATH": path}
            run = bash(script, env=variables, cwd=places["/opt/pixora"])
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the page has ended it itself
            pid = int((tmp_path / "trial.pid").read_text())
            for _ in range(100):
                os.kill(pid, signal.SIGTERM)
                time.sleep(0.1)
    assert run.returncode == 0, run.stdout + run.stderr
    for command, printed in zip(wanted, run.stdout.split("\036")[1:], strict=True):
        if command.printed:
            documented = comparable(here(command.printed, places))
            assert doctest.OutputChecker().check_output(documented, comparable(printed), doctest.ELLIPSIS), printed


def comparable(text):
    for differing, stand_in in DIFFERING.items():
        text = re.sub(differing, stand_in, text)
    return text


@pytest.mark.parametrize("block", [block for block in blocks("sh", "console") if not_run(block)], ids=str)
def test_a_block_that_does_not_run_has_valid_syntax(block):
    for command in commands(block):
        assert bash(f"set -n\n{command.text}").returncode == 0


def test_every_exception_matches_a_block():
    excused = {
        key for block in blocks("sh", "console") for key in NOT_RUN if key[0] == block.page and key[1] in block.text
    }
    assert excused == NOT_RUN.keys()


# --- The API page ---------------------------------------------------------------------------------------------

CHANGE_OF_EMAIL = {"email": "countess@example.com", "password": PASSWORD}
EMAILS = {
    "/api/auth/verify-email/confirm": ("verify_email", "/api/auth/verify-email", {}),
    "/api/auth/password-reset/confirm": ("reset_password", "/api/auth/password-reset", {"email": "ada@example.com"}),
    "/api/auth/change-email/confirm": ("change_email", "/api/users/me/email", CHANGE_OF_EMAIL),
    "/api/users/me/export": ("change_email", "/api/users/me/email", CHANGE_OF_EMAIL),
}
"""The e-mail whose token a route takes, and the request that sends it."""


INVITATION = {name: value for name, value in signup_body(email="guest@example.com").items() if name != "password"}
INVITATION["invite"] = True

OPEN = ("context", "details")
"""Objects whose names vary."""


@pytest.fixture
def variables(client, users, token_sent):
    """Make the shell variables for one command: those of a new user, except for the sign-up."""

    def make(route):
        if route.path == "/api/auth/signup":
            return {}
        account = make_account(client)
        made = {"TOKEN": account.token, "REFRESH_TOKEN": account.refresh_token, "USER_ID": account.id}
        made["SERVICE_KEY"] = SERVICE_KEY
        made["SESSION_ID"] = users.find_one({"_id": account.id})["sessions"][0]["id"]
        if route.path.startswith("/api/admin/"):
            promote(users, account)
            made["USER_ID"] = make_account(client, email="grace@example.com").id
        if "invitation" in route.path:
            promote(users, account)
            made["USER_ID"] = client.post("/api/admin/users", json=INVITATION, headers=account.bearer).json["id"]
            made["EMAIL_TOKEN"] = token_sent(INVITATION["email"], "invitation")
        with_passkey = "DELETE /api/users/me/password", "POST /api/auth/reauthenticate/options"
        if route.name in with_passkey or route.path.endswith("{passkey_id}"):
            options = client.post("/api/users/me/passkeys/options", headers=account.bearer).json
            authenticator = Authenticator()
            body = {"credential": authenticator.create(options)}
            made["PASSKEY_ID"] = client.post("/api/users/me/passkeys", json=body, headers=account.bearer).json["id"]
            body = {"credential": authenticator.get(client.post("/api/auth/passkeys/options").json)}
            made["TOKEN"] = client.post("/api/auth/passkeys/login", json=body).json["access_token"]
        if "/factors" in route.path or route.path == "/api/auth/mfa":
            made |= second_factor(client, route, account)
        if route.path in EMAILS:
            template, path, body = EMAILS[route.path]
            email = body.get("email", account.email)
            assert client.post(path, json=body or None, headers=account.bearer).status_code == 202
            made["EMAIL_TOKEN"] = token_sent(email, template)
        return made

    return make


def second_factor(client, route, account):
    """Set up an authenticator app as far as a route needs it; return the shell variables that change by it."""
    if route.name == "POST /api/users/me/factors/totp" or route.path.startswith("/api/admin/"):
        return {}
    secret = client.post("/api/users/me/factors/totp", headers=account.bearer).json["secret"]
    code = pyotp.TOTP(secret).now()
    if route.path.endswith("/confirm"):
        return {"CODE": code}
    client.post("/api/users/me/factors/totp/confirm", json={"code": code}, headers=account.bearer)
    if route.path == "/api/auth/mfa":
        token = log_in(client, account.email).json["mfa_token"]
        return {"MFA_TOKEN": token, "CODE": pyotp.TOTP(secret).at(time.time() + 30)}  # the code of now is used
    fields = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    return {"TOKEN": client.post("/api/auth/refresh", data=fields).json["access_token"]}


def is_like(answer, example):
    """Whether an answer has the names and types of an example; lists may be empty, values null."""
    if answer is None:
        return True
    if isinstance(example, dict):
        same = isinstance(answer, dict) and answer.keys() == example.keys()
        return same and all(name in OPEN or is_like(answer[name], inner) for name, inner in example.items())
    if isinstance(example, list):
        return not answer or all(any(is_like(item, inner) for item in answer) for inner in example)
    return example is None or type(answer) is type(example)


OF_AUTHENTICATORS = {"POST /api/users/me/passkeys": (422, None), "POST /api/auth/passkeys/login": (401, None)}
"""Only an authenticator can sign what these take, so the example of the page is refused."""


def test_each_command_of_the_api_page_gets_the_documented_answer(client, users, variables, service, tmp_path, subtests):
    for route in api_page.routes(client.get("/openapi.json").json):
        with subtests.test(route.name):
            users.delete_many({})
            command = route.command.replace(api_page.SERVER, service)
            function = 'curl() { command curl -sS -o answer -w "%{http_code}" "$@"; }'
            path = {"PATH": os.environ["PATH"]}
            run = bash(f"{function}\n{command}", env=path | variables(route), cwd=tmp_path)
            status, example = OF_AUTHENTICATORS.get(route.name, route.success)
            answer = (tmp_path / "answer").read_text()
            assert (run.returncode, run.stdout) == (0, str(status)), answer
            assert example is None or is_like(json.loads(answer), example), answer


# --- Deployment ------------------------------------------------------------------------------------------------------


def test_the_units_are_well_formed(tmp_path):
    units = sorted((ROOT / "deploy").glob("*.service"))
    assert len(units) == 2
    for unit in units:
        text = unit.read_text()
        assert re.search(r"^ExecStart=/opt/pixora/\.venv/bin/(gunicorn|flask) ", text, re.MULTILINE)
        (tmp_path / unit.name).write_text(text.replace("/opt/pixora", str(ROOT)))
    if verifier := shutil.which("systemd-analyze"):
        run = subprocess.run([verifier, "verify", *tmp_path.iterdir()], capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")
        for unit in units:
            rated = [verifier, "security", "--offline=true", "--threshold=25", "--no-pager", unit]
            assert subprocess.run(rated, capture_output=True).returncode == 0


def test_nginx_serves_tls_with_the_commented_lines_of_its_file(service, tmp_path):
    authority = Authority(tmp_path)
    certificate = authority.issue()
    port = int(service.rsplit(":", 1)[1])

    def with_tls(text, address):
        lines = text.split("# TLS: replace")[1].split("    # server {")[0].splitlines()[2:]
        tls = "\n".join(line.strip().removeprefix("#") for line in lines if line.strip().startswith("#   "))
        tls = re.sub(r"listen 443 ssl;.*?server_name", f"listen {address} ssl http2; server_name", tls, flags=re.DOTALL)
        return text.replace(f"listen {address};", re.sub(r"/etc/ssl/pixora/\w+\.pem", str(certificate), tls))

    with running_nginx(tmp_path, port, change=with_tls) as tls_port:
        context = ssl.create_default_context(cafile=authority.path)
        with urllib.request.urlopen(f"https://127.0.0.1:{tls_port}/health", timeout=LONG, context=context) as answer:
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
            assert json.load(answer)["status"] == "healthy"
