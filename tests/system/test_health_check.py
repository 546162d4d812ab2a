"""The health check of the container, run as the Dockerfile has it."""

import re
import subprocess
import sys
from pathlib import Path

from mongod import free_port

DOCKERFILE = (Path(__file__).resolve().parents[2] / "Dockerfile").read_text()


def health_check(port):
    [command] = re.findall(r"^HEALTHCHECK .*?CMD (.*?'\n)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert "8000" in command
    command = command.replace("8000", str(port)).replace("python", sys.executable, 1)
    return subprocess.run(["sh", "-c", command], capture_output=True, timeout=60).returncode


def test_a_service_that_answers_to_its_name_alone_is_healthy(gunicorn, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("auth.example.com\n")
    with gunicorn(TRUSTED_HOSTS_FILE=str(hosts)) as url:
        assert health_check(url.rsplit(":", 1)[1]) == 0


def test_a_service_that_is_away_is_not():
    assert health_check(free_port()) != 0
