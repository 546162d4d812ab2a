"""The WSGI entry point: ``gunicorn wsgi:app`` and ``flask --app wsgi``."""

import os
import sys
from typing import NoReturn

import config
from pixora import create_app
from pixora.keys import KeyFault


def require_signing_key() -> None:
    """End the process, with a sentence, when there is no key to sign with: the commands need none, serving does."""
    try:
        _ = app.extensions["tokens"].ring().signing
    except KeyFault as fault:
        _exit(fault)


def _exit(fault: KeyFault) -> NoReturn:
    print(f"Pixora cannot start: {fault}", file=sys.stderr)
    sys.exit(os.EX_CONFIG)


try:
    app = create_app(config.load_or_exit())
except KeyFault as fault:
    _exit(fault)
