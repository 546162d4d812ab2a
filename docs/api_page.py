"""Render the OpenAPI document as the API page, with a curl command for each route; CI runs these commands."""

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SERVER = "http://127.0.0.1:8000"

PROVIDED = {"token": "$EMAIL_TOKEN", "refresh_token": "$REFRESH_TOKEN"}
"""Fields whose example values work for nobody else, and the shell variables that replace them."""

PROVIDED_FOR = {
    "/api/auth/revoke": {"token": "$REFRESH_TOKEN"},
    "/api/auth/introspect": {"token": "$TOKEN"},
    "/api/auth/mfa": {"mfa_token": "$MFA_TOKEN", "code": "$CODE"},
    "/api/users/me/factors/totp/confirm": {"code": "$CODE"},
}
"""The same for fields that have another meaning in one path."""

INTERNAL = ("/health/client",)
"""Paths that only our own commands use."""

METHODS = "get", "post", "put", "patch", "delete"


@dataclass
class Route:
    """One operation of the OpenAPI document."""

    method: str
    path: str
    operation: dict[str, Any]

    @property
    def name(self) -> str:
        """Return method and path, as in `GET /api/users/me`."""
        return f"{self.method.upper()} {self.path}"

    @property
    def success(self) -> tuple[int, Any]:
        """Return the lowest success status and the example of its body, or None if it has no body."""
        status = min(status for status in self.operation["responses"] if status.startswith("2"))
        content = self.operation["responses"][status].get("content", {})
        return int(status), content.get("application/json", {}).get("example")

    @property
    def failures(self) -> Iterator[tuple[int, str, str]]:
        """Yield status, `code` (or `error`, in the format of OAuth) and description of each error."""
        for status, response in sorted(self.operation["responses"].items()):
            for content in response.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    value = example["value"]
                    yield (
                        int(status),
                        value.get("code", value.get("error")),
                        value.get("detail", value.get("error_description")),
                    )

    @property
    def command(self) -> str:
        """Return the curl command; path parameters become shell variables, as in `$USER_ID`."""
        path = re.sub(r"{(\w+)}", lambda name: f"${name[1].upper()}", self.path)
        implied = "post" if "requestBody" in self.operation else "get"
        method = "" if self.method == implied else f"-X {self.method.upper()} "
        words = [f"curl {method}{SERVER}{path}"]
        if {"ServiceKey": []} in self.operation.get("security", []):
            words.append('-u "orders:$SERVICE_KEY"')
        elif self.operation.get("security"):
            words.append('-H "Authorization: Bearer $TOKEN"')
        return " \\\n  ".join(words + self._body())

    def _body(self) -> list[str]:
        content = self.operation.get("requestBody", {}).get("content", {})
        if not content:
            return []
        media_type, body = next(iter(content.items()))
        provided = PROVIDED | PROVIDED_FOR.get(self.path, {})
        example = {name: provided.get(name, value) for name, value in body["example"].items()}
        if media_type != "application/json":
            return [f"-d {name}={value}" for name, value in example.items()]
        text = json.dumps(example, indent=2, ensure_ascii=False)
        if "$" in text:  # in a here-document the shell expands variables
            return ["-H 'Content-Type: application/json'", f"-d @- <<END\n{text}\nEND"]
        return ["-H 'Content-Type: application/json'", f"-d '{text}'"]


def routes(document: dict[str, Any]) -> list[Route]:
    """Return the routes for clients, in the order of the document."""
    return [
        Route(method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS and path not in INTERNAL
    ]


def render(document: dict[str, Any]) -> str:
    """Return the routes of an OpenAPI document as Markdown."""
    parts = []
    for tag in document["tags"]:
        if tagged := [_render(route) for route in routes(document) if tag["name"] in route.operation["tags"]]:
            parts += [f"## {tag['description']}", *tagged]
    return "\n\n".join(parts)


def _render(route: Route) -> str:
    status, example = route.success
    parts = [f"### {route.name}", route.operation["summary"], textwrap.dedent(route.operation.get("description", ""))]
    parameters = [each for each in route.operation.get("parameters", []) if each["in"] != "path"]
    parts.append("\n".join(f"- `{each['name']}` ({each['in']}): {each.get('description', '')}" for each in parameters))
    parts.append(f"```sh\n{route.command}\n```")
    if example is None:
        parts.append(f"Answers {status}.")
    else:
        parts.append(f"Answers {status}:\n\n```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```")
    if failures := list(route.failures):
        rows = [f"| {status} | `{code}` | {detail} |" for status, code, detail in failures]
        parts.append("\n".join(["| error | code | detail |", "|---|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part)
