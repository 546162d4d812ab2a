"""The files in deploy/ and what they say about images, held against the application and against common advice."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import config
from pixora.pages.forms import FORMS
from tests import ROOT

NGINX_CONF = (ROOT / "deploy/nginx.conf").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()

SENDS_MAIL_AND_ANSWERS_ALIKE = {"POST /api/auth/password-reset"}
"""Documents no 429, lest it tell whether there is an account."""


ASKED_BY_SERVICES = {"POST /api/auth/introspect"}
"""A service asks about all its users from one address, so this route has a limit of its own."""


USED_BY_SESSIONS = {"POST /api/auth/refresh"}
"""Tells only clients with used tokens to come again; all people of an office refresh from one address."""


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
    assert limited == dear - ASKED_BY_SERVICES - USED_BY_SESSIONS


def codes(operation):
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            for example in content.get("examples", {}).values():
                if isinstance(example["value"], dict):
                    yield example["value"].get("code", example["value"].get("error"))


def test_nginx_limits_introspection_as_the_service_does_by_default():
    [counted] = re.findall(r'"(.*?)" \$binary_remote_addr;\n        default "";\n    }\n    limit_req_zone', NGINX_CONF)
    assert {counted} == ASKED_BY_SERVICES
    [rate] = re.findall(r"limit_req_zone \$introspecting_client .* rate=(\d+)r/s;", NGINX_CONF)
    default = re.search(r"\| `THROTTLE_INTROSPECTION_PER_SERVICE` \| `(\d+) per minute`", CONFIGURATION)
    assert int(rate) * 60 == int(default[1])


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


def test_compose_makes_its_secrets_and_hands_them_over_as_files():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    made = services["secrets"]
    assert made["network_mode"] == "none"
    assert made["cap_drop"] == ["ALL"]
    for name in ("api", "mail"):
        assert services[name]["depends_on"]["secrets"] == {"condition": "service_completed_successfully"}
        assert "secrets:/secrets:ro" in services[name]["volumes"]
        files = {key: value for key, value in services[name]["environment"].items() if key.endswith("_FILE")}
        assert files == {"SECRET_KEY_FILE": "/secrets/secret_key", "JWT_SECRET_KEY_FILE": "/secrets/jwt_secret_key"}
        assert not services[name]["environment"].keys() & {"SECRET_KEY", "JWT_SECRET_KEY"}


def make_secrets(folder, **given):
    command = [sys.executable, ROOT / "deploy/make_secrets.py", folder]
    empty = {"SECRET_KEY": "", "JWT_SECRET_KEY": ""}  # as compose passes what is not set
    run = subprocess.run(command, env=os.environ | empty | given, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_first_start_makes_secrets_and_later_ones_keep_them(tmp_path):
    made = make_secrets(tmp_path)
    assert set(made) == {"secret_key", "jwt_secret_key"}
    assert make_secrets(tmp_path) == made
    for value in made.values():
        config._strong_secret(value)
    assert made["secret_key"] != made["jwt_secret_key"]
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in tmp_path.iterdir())


def test_a_given_secret_takes_the_place_of_the_made_one_and_stays(tmp_path):
    made = make_secrets(tmp_path)
    assert make_secrets(tmp_path, SECRET_KEY=" of one's own ") == made | {"secret_key": "of one's own"}
    assert make_secrets(tmp_path)["secret_key"] == "of one's own"


def test_two_starts_at_once_agree_on_the_secrets(tmp_path):
    def start(_):
        make_secrets(tmp_path)
        return (tmp_path / "secret_key").read_text()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 1
    assert set(make_secrets(tmp_path)) == {"secret_key", "jwt_secret_key"}


KUBERNETES = "1.33"
MANIFESTS = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
RESOURCES = [
    resource for path in MANIFESTS if path.stem != "kustomization" for resource in yaml.safe_load_all(path.read_text())
]
PODS = [resource["spec"]["template"]["spec"] for resource in RESOURCES if resource["kind"] in ("Deployment", "Job")]


def of_kind(kind, name="pixora"):
    [found] = [one for one in RESOURCES if one["kind"] == kind and one["metadata"].get("name") == name]
    return found


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: f"{one['kind']}-{one['metadata'].get('name')}")
def test_a_manifest_is_valid_by_the_schema_of_kubernetes(resource):
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_the_schema_would_find_a_misspelt_field():
    resource = of_kind("Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(resource | {"spec": resource["spec"] | {"replica": 2}}, KUBERNETES, strict=True)


def test_the_kustomization_lists_every_manifest_but_the_job():
    kustomization = yaml.safe_load((ROOT / "deploy/kubernetes/kustomization.yaml").read_text())
    names = {path.name for path in MANIFESTS} - {"kustomization.yaml", "db-upgrade.yaml"}
    assert set(kustomization["resources"]) == names


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod["containers"][0]["name"])
def test_a_pod_is_restricted_and_reads_its_secrets_as_files(pod):
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/, "Restricted"
    user = "10001"
    assert f"USER {user}:{user}" in (ROOT / "Dockerfile").read_text()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == int(user)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("secretKeyRef" in str(variable) for variable in container.get("env", []))
    assert {volume["name"]: volume.get("secret") for volume in pod["volumes"]}["secrets"] == {
        "secretName": "pixora",
        "defaultMode": 0o440,
    }
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"tmp": "/tmp", "secrets": "/run/secrets/pixora"}


def test_the_settings_of_the_manifests_exist_and_name_files_of_the_secret():
    data = of_kind("ConfigMap")["data"] | {"SMTP_URL_FILE": "/run/secrets/pixora/smtp_url"}
    assert {name.removesuffix("_FILE").lower() for name in data} <= config.Settings.__annotations__.keys()
    command = (ROOT / "docs/deployment.md").read_text()
    for path in (value for name, value in data.items() if name.endswith("_FILE")):
        assert f"--from-literal={Path(path).name}=" in command


def test_the_probes_come_by_address_and_ask_for_routes_that_exist(session_app):
    [container] = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/health/live",
        "readiness": "/health",
        "liveness": "/health/live",
    }
    paths = {rule.rule for rule in session_app.url_map.iter_rules()}
    assert all(probe["path"] in paths and "host" not in probe for probe in probes.values())


def test_scaling_and_budget_are_about_the_service_and_keep_a_pod():
    labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert of_kind("Service")["spec"]["selector"] == labels
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    scaler = of_kind("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pixora"}
    assert scaler["minReplicas"] > of_kind("PodDisruptionBudget")["spec"]["minAvailable"]
    assert "replicas" not in of_kind("Deployment")["spec"]
