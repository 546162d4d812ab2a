"""The files in deploy/ and what they say about images, held against the application and against common advice."""

import re

import pytest

from pixora.pages.forms import FORMS
from tests import ROOT

NGINX_CONF = (ROOT / "deploy/nginx.conf").read_text()

SENDS_MAIL_AND_ANSWERS_ALIKE = {"POST /api/auth/password-reset"}
"""Documents no 429, lest it tell whether there is an account."""


def is_limited(method: str, path: str) -> bool:
    """Tell whether nginx limits how often one client may send such a request, by its own patterns."""
    [block] = re.findall(r'map "\$request_method \$uri" \$limited_client \{(.*?)\n    \}', NGINX_CONF, re.DOTALL)
    patterns = re.findall(r'"~(.*?)" \$binary_remote_addr;', block)
    return any(re.search(pattern, f"{method} {path}") for pattern in patterns)


def test_nginx_limits_every_route_that_hashes_or_sends_mail_and_no_other(session_app):
    document = session_app.test_client().get("/openapi.json").json
    limited = set()
    dear = set(SENDS_MAIL_AND_ANSWERS_ALIKE)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            name = f"{method.upper()} {path}"
            if is_limited(method.upper(), path.replace("{", "").replace("}", "")):
                limited.add(name)
            if {"overloaded", "rate_limited"} & set(codes(operation)):
                dear.add(name)
    assert limited == dear


def codes(operation):
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            for example in content.get("examples", {}).values():
                if isinstance(example["value"], dict):
                    yield example["value"].get("code")


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.path)
def test_nginx_limits_the_pages_whose_form_takes_a_password_or_sends_an_email(form):
    assert is_limited("POST", form.path) == (form.password_field is not None or not form.has_token)
    assert not is_limited("GET", form.path)


# What `systemd-analyze security` asks of a service and the network does not forbid. tests/system/test_docs_site.py has
# the units rated by it where it is installed.
HARDENED = {
    "AmbientCapabilities": None,
    "CapabilityBoundingSet": "",
    "DynamicUser": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateTmp": "yes",
    "PrivateUsers": "yes",
    "ProcSubset": "pid",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHome": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
}


@pytest.mark.parametrize("unit", sorted((ROOT / "deploy").glob("*.service")), ids=lambda unit: unit.name)
def test_the_units_take_from_the_service_what_it_does_not_need(unit):
    lines = [line.partition("=") for line in unit.read_text().splitlines() if not line.startswith("#")]
    settings = {name: value for name, _, value in lines}
    assert {name: settings.get(name) for name in HARDENED} == HARDENED
    filters = [value for name, _, value in lines if name == "SystemCallFilter"]
    assert filters[:2] == ["@system-service", "~@privileged @resources"]


def test_base_images_are_pinned_by_digest():
    dockerfile = (ROOT / "Dockerfile").read_text()
    built_from = re.findall(r"^ARG BASE=(.*)$", dockerfile, re.MULTILINE)
    # "${BASE}" is pinned, "scratch" is empty, and the others are stages of this file.
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${BASE}", "base", "scratch"}
    pulled = re.findall(r"^    image: (\S+)", (ROOT / "compose.yaml").read_text(), re.MULTILINE)
    images = [*built_from, *(image for image in pulled if image != "pixora")]
    assert len(images) == 3
    for image in images:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image
