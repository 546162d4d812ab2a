"""script/setup, in a project of two tiny packages: one that serving needs, and one that the checks add."""

import base64
import contextlib
import hashlib
import os
import pty
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from mongod import free_port

from tests import ROOT

SERVE, DEV = "pixora_stub_serve", "pixora_stub_dev"
SECONDS = 600
"""A busy machine is no reason to fail: making an environment takes some seconds of CPU."""


def make_wheel(folder, name):
    """Write a wheel to a folder; return its line of a lock."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for path, text in files.items()}
    record = [f"{path},sha256={digest.decode().rstrip('=')},{len(files[path])}" for path, digest in digests.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,\n"])
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in files.items():
            wheel.writestr(inside, text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Project:
    """A checkout with a script/setup, and what it needs."""

    def __init__(self, folder):
        self.folder = folder / "project"
        self._wheels = folder / "wheels"
        (self.folder / "script").mkdir(parents=True)
        self._wheels.mkdir()
        shutil.copy(ROOT / "script/setup", self.folder / "script/setup")
        serve, dev = make_wheel(self._wheels, SERVE), make_wheel(self._wheels, DEV)
        (self.folder / "requirements-serve.txt").write_text(serve)
        (self.folder / "requirements-dev.txt").write_text(serve + dev)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self._wheels),
        }

    def start(self, *arguments, **options):
        return subprocess.Popen(
            [self.folder / "script/setup", *arguments],
            env=self.environment,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options,
        )

    def set_up(self, *arguments):
        """Return the exit status, and what was printed."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=SECONDS)
        return process.returncode, output

    def has(self, name):
        """Tell whether a package can be imported by the Python of .venv, and its scripts can be run."""
        subprocess.run([self.folder / ".venv/bin/pip", "--version"], check=True, capture_output=True)
        return (
            subprocess.run([self.folder / ".venv/bin/python", "-c", f"import {name}"], capture_output=True).returncode
            == 0
        )


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """Make a Python whose `-m venv` copies an installed pip: installing it takes three of four seconds of CPU."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys._base_executable, "-m", "venv", folder / "with-pip"], check=True)
    packages = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    script = folder / "python"
    script.write_text(
        f"""#!/bin/sh
set -e
[ "$1 $2" = "-m venv" ] || exec {sys._base_executable} "$@"
{sys._base_executable} "$@" --without-pip
for last; do :; done
cp -R {folder}/with-pip/{packages}/. "$last/{packages}"
sed "1s|.*|#!$PWD/$last/bin/python|" {folder}/with-pip/bin/pip >"$last/bin/pip"
chmod +x "$last/bin/pip"
"""
    )
    script.chmod(0o755)
    return script


@pytest.fixture
def project(tmp_path, python):
    project = Project(tmp_path)
    project.environment["PYTHON"] = str(python)
    return project


def test_serving_gets_what_it_needs_and_the_checks_add_to_it(project):
    del project.environment["PYTHON"]  # python3, as everywhere
    assert project.set_up()[0] == 0
    assert (project.has(SERVE), project.has(DEV)) == (True, False)
    made_at = (project.folder / ".venv/pyvenv.cfg").stat().st_mtime_ns
    assert project.set_up("--dev")[0] == 0
    assert (project.has(SERVE), project.has(DEV)) == (True, True)
    assert project.set_up() == project.set_up("--dev") == (0, "")
    assert (project.folder / ".venv/pyvenv.cfg").stat().st_mtime_ns == made_at


def move(project):
    project.folder = project.folder.rename(project.folder.with_name("moved"))


def lose_the_interpreter(project):
    python = project.folder / ".venv/bin/python3"
    for link in python.parent.glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/python3")


def get_another_python(project):
    """As when the system's Python is upgraded: the links lead to it, and the packages are in a folder it ignores."""
    [library] = (project.folder / ".venv/lib").iterdir()
    library.rename(library.with_name("python3.10"))
    for stamp in (project.folder / ".venv").glob("*.installed"):
        first, rest = stamp.read_text().split("\n", 1)
        stamp.write_text(f"{first.rsplit(' ', 1)[0]} 3.10\n{rest}")


def stop_half_way(project):
    for stamp in (project.folder / ".venv").glob("*.installed"):
        stamp.unlink()


def test_an_environment_that_does_not_work_any_more_is_made_anew(project, subtests):
    project.set_up()
    for spoil in (move, lose_the_interpreter, get_another_python, stop_half_way):
        with subtests.test(spoil.__name__):
            spoil(project)
            status, output = project.set_up()
            assert status == 0, output
            assert "does not fit any more" in output
            assert project.has(SERVE)


def test_an_environment_that_is_a_link_is_left_alone(project, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "kept").touch()
    (project.folder / ".venv").symlink_to(shared)
    assert project.set_up() == (0, "")
    assert (shared / "kept").exists()


def test_two_that_start_at_once_make_one_environment_and_show_that_they_are_at_work(project):
    terminal, inside = pty.openpty()
    both = [project.start(stderr=inside) for _ in range(2)]
    for process in both:
        process.communicate(timeout=SECONDS)
    os.close(inside)
    printed = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody holds the other end any more
        while piece := os.read(terminal, 4096):
            printed += piece
    os.close(terminal)
    assert [process.returncode for process in both] == [0, 0], printed
    assert printed.count(b"Setting up .venv") == 1
    assert b"package 1: pixora_stub_serve" in printed
    assert b"installing 1 packages" in printed
    assert project.has(SERVE)


def test_without_the_package_index_there_is_a_sentence(project):
    del project.environment["PIP_NO_INDEX"], project.environment["PIP_FIND_LINKS"]
    project.environment["PIP_INDEX_URL"] = f"http://127.0.0.1:{free_port()}/simple"
    status, output = project.set_up()
    assert status == 1
    assert "The packages in requirements-serve.txt cannot be installed. Check that this machine reaches PyPI" in output
    assert "No matching distribution found" in output
    assert "Traceback" not in output
    # Nothing half-made is taken for whole.
    assert not list((project.folder / ".venv").glob("*.installed"))


@pytest.fixture
def without_a_mirror(project, tmp_path):
    """Programs as on a machine that apt cannot install anything on, whoever runs the tests."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {
        "apt-get": 'echo "E: Failed to fetch http://mirror/x.deb  Could not connect to 127.0.0.1:9" >&2; exit 100',
        "id": "echo 0",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    project.environment["PATH"] = f"{programs}:{project.environment['PATH']}"


@pytest.mark.usefixtures("without_a_mirror")
def test_without_a_mirror_of_debian_there_is_a_sentence(project):
    status, output = project.set_up("no-such-program:no-such-package")
    assert status == 1
    assert (
        "apt could not install no-such-package. Check that this machine reaches its Debian or Ubuntu mirror" in output
    )
    assert "E: Failed to fetch http://mirror/x.deb" in output


def versions_in(lock):
    lines = (ROOT / lock).read_text().splitlines()
    return {line.rstrip(" \\") for line in lines if "==" in line and not line.startswith((" ", "#"))}


def test_the_lock_of_the_checks_has_all_of_the_one_of_the_server_in_the_same_versions():
    assert versions_in("requirements-serve.txt") <= versions_in("requirements-dev.txt")
