"""A faulty template keeps the service and its commands from starting, with one message."""

import subprocess
import sys

import pytest

from tests import ROOT


@pytest.mark.parametrize("command", [["-c", "import wsgi"], ["-m", "flask", "--app", "wsgi", "mail", "show"]])
def test_a_faulty_template_is_named_and_nothing_starts(environment, tmp_path, command):
    path = tmp_path / "de/verify_email.txt"
    path.parent.mkdir()
    path.write_text("Hallo\n\nHallo {{ name }},\n\n-> Weiter\n")
    run = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment | {"MAIL_TEMPLATES": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 78
    assert f"{path}, line 3: there is no variable 'name'. This template has: first_name, " in run.stderr
    assert "Traceback" not in run.stderr
