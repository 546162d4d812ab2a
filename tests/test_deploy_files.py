"""The files in deploy/ and what they say about images, held against the application and against common advice."""

import re
from pathlib import Path

import pytest

from pixora.pages.forms import FORMS

ROOT = Path(__file__).resolve().parents[1]
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


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.path)
def test_nginx_limits_the_pages_whose_form_takes_a_password(form):
    assert is_limited("POST", form.path) == (form.field is not None)
    assert not is_limited("GET", form.path)
