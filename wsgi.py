"""The WSGI entry point: ``gunicorn wsgi:app`` and ``flask --app wsgi``."""

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click
from flask import Flask
from pymongo.errors import ConfigurationError

import config
from pixora import create_app
from pixora.cli import list_own_commands_only
from pixora.email_templates.faults import TemplateFault
from pixora.errors import DatabaseUnavailable
from pixora.observability.tracing_fault import TracingFault
from pixora.tokens.keys import KeyFault

START_SECONDS = 3.0
"""How long the start waits for the database."""


def require_signing_key() -> None:
    """Exit with status 78 when there is no key to sign with: serving needs one, the commands do not."""
    try:
        _ = app.extensions["services"].tokens.ring().signing
    except KeyFault as fault:
        _exit(f"Pixora cannot start: JWT_KEY_DIR: {fault}")


def require_data_keys() -> None:
    """Exit with status 78 when users have second factors and production has no keys to check them with.

    A single key that is missing does not end the service: its users have recovery codes, and the doctor reports it.
    """
    services = app.extensions["services"]
    if services.settings.data_keys or services.settings.pixora_env != "production":
        return
    # Without its database the service starts nevertheless; it refuses these logins.
    with app.app_context(), suppress(DatabaseUnavailable):
        if number := sum(services.factors.count_by_key(START_SECONDS).values()):
            _exit(
                f"Pixora cannot start: {number:,} users have a second factor, and DATA_KEYS is not set. Set it to the "
                "keys that their secrets are encrypted under."
            )


def _create() -> Flask:
    try:
        return create_app(config.load())
    except config.ConfigError as error:
        message, faults = str(error), error.faults
    except ConfigurationError as error:  # config.py has checked the rest, and the DNS may be down: try again
        return _exit(f"Pixora cannot start: the hosts of MONGO_URI cannot be looked up: {error}", os.EX_TEMPFAIL)
    except KeyFault as error:
        message, faults = f"Pixora cannot start: JWT_KEY_DIR: {error}", {"JWT_KEY_DIR": [str(error)]}
    except TemplateFault as error:
        message, faults = f"Pixora cannot start: MAIL_TEMPLATES: {error}", {"MAIL_TEMPLATES": [str(error)]}
    except TracingFault as error:
        names = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_")))  # the message may name none
        sentence = f"OpenTelemetry cannot use one of these: {error}"
        message, faults = f"Pixora cannot start: {names}: {sentence}", {names: [sentence]}
    context = click.get_current_context(silent=True)
    if context and isinstance(context.command, click.Group):
        # `flask` is looking up a command, which may be the doctor.
        from pixora.upkeep.commands import app_with_doctor_only  # noqa: PLC0415  # workers need no commands

        return app_with_doctor_only(message, faults)
    return _exit(message)


def _exit(message: str, status: int = os.EX_CONFIG) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)


app = _create()
list_own_commands_only(app)
