"""The linters of OpenAPI documents find nothing to warn of."""

import json
import os

from tests.system.clients.packages import run

QUIET = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def test_redocly_has_no_error_and_no_warning(folder, document):
    (folder / "redocly.yaml").write_text("extends: [recommended-strict]\n")
    report = run("node_modules/.bin/redocly", "lint", "--format=json", document, cwd=folder, env=QUIET)
    assert json.loads(report)["problems"] == []


def test_spectral_has_no_error_and_no_warning(folder, document):
    (folder / "ruleset.yaml").write_text('extends: [["spectral:oas", "recommended"]]\n')
    options = "--ruleset=ruleset.yaml", "--format=json", "--fail-severity=hint", "--quiet"
    report = run("node_modules/.bin/spectral", "lint", *options, document, cwd=folder)
    assert json.loads(report) == []
