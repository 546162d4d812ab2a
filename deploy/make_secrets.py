"""Makes the secrets of a deployment at its first start, and keeps them. For compose.yaml.

    python3 make_secrets.py FOLDER

Each secret is a file. A variable of the environment, such as SECRET_KEY, takes the place of what is there. Only what is
missing is made: with another secret everybody is signed out.
"""

import contextlib
import os
import secrets
import sys
from pathlib import Path

NAMES = ("SECRET_KEY", "JWT_SECRET_KEY")


def main(folder: Path) -> None:
    """Write the secrets that are given or missing."""
    for name in NAMES:
        path = folder / name.lower()
        if given := os.environ.get(name, "").strip():
            _write(path, given, replaces=True)
        elif not path.exists():
            _write(path, secrets.token_urlsafe(48), replaces=False)
            print(f"Made {name}. It is kept in {path}.")


def _write(path: Path, text: str, *, replaces: bool) -> None:
    """Write a file whole or not at all, readable for the service, which is another user."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.chmod(0o444)
    if replaces:
        unfinished.rename(path)
        return
    with contextlib.suppress(FileExistsError):  # made by another start at the same moment: that one counts
        os.link(unfinished, path)
    unfinished.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
