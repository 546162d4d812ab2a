"""The WSGI entry point: ``gunicorn wsgi:app`` and ``flask --app wsgi``."""

import os
import sys
from typing import NoReturn

import click
from flask import Flask

import config
from pixora import create_app
from pixora.tokens.keys import KeyFault
from pixora.upkeep.commands import for_the_doctor


def require_signing_key() -> None:
    """End the process, with a sentence, when there is no key to sign with: the commands need none, serving does."""
    try:
        _ = app.extensions["services"].tokens.ring().signing
    except KeyFault as fault:
        _exit(fault)


def _make() -> Flask:
    try:
        return create_app(config.load() if _is_for_the_doctor() else config.load_or_exit())
    except config.ConfigError as error:
        return for_the_doctor(error.faults)
    except KeyFault as fault:
        if _is_for_the_doctor():
            return for_the_doctor({"JWT_KEY_DIR": [str(fault)]})
        _exit(fault)


def _is_for_the_doctor() -> bool:
    """Tell whether this is ``flask --app wsgi doctor``, who tells of the very faults that keep all else from starting.

    Flask's command loads the application before it looks for a command in it, and says not yet which one it will be.
    """
    return click.get_current_context(silent=True) is not None and "doctor" in sys.argv[1:]


def _exit(fault: KeyFault) -> NoReturn:
    print(f"Pixora cannot start: {fault}", file=sys.stderr)
    sys.exit(os.EX_CONFIG)


app = _make()
