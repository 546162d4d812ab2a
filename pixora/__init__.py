"""Pixora: authentication and user management, to put in front of a product.

`create_app` wires the parts together: read it and you know the service.
"""

from collections.abc import Mapping
from typing import Any

import flask
from flask.json.provider import DefaultJSONProvider
from jinja2 import StrictUndefined

from pixora import (
    audit,
    cli,
    counts,
    cross_origin,
    database,
    docs,
    forwarding,
    hash_census,
    hashing,
    health,
    hosts,
    inspection,
    mail_throttles,
    openapi,
    problems,
    requests,
    scrape,
    throttles,
    tokens,
    wellknown,
)
from pixora.admin.commands import users as user_commands
from pixora.admin.routes import blueprint as admin
from pixora.auth.account_routes import blueprint as account
from pixora.auth.routes import blueprint as auth
from pixora.importing.commands import import_command
from pixora.mail.commands import mail
from pixora.observation import Flask
from pixora.pages.again import blueprint as pages
from pixora.upkeep.commands import db, doctor
from pixora.users import administrators, directory, erasures, letters, pending, sessions
from pixora.users import store as users
from pixora.users.routes import blueprint as user_routes

__version__ = "0.1.0"


class JSONProvider(DefaultJSONProvider):
    """JSON as UTF-8, in the order we wrote it."""

    ensure_ascii = False
    sort_keys = False
    compact = True


def create_app(settings: Mapping[str, Any]) -> flask.Flask:
    """Return the application.

    Args:
        settings: As `config.load` makes them.

    """
    app = Flask(__name__)
    app.json = JSONProvider(app)
    app.jinja_env.undefined = StrictUndefined  # what a template is not given is a fault, and not an empty place
    app.config.from_mapping(settings, MAX_FORM_MEMORY_SIZE=settings["MAX_CONTENT_LENGTH"])
    if app.config["TRACING"]:
        from pixora import tracing  # noqa: PLC0415  # its packages are optional, and take a while to load

        tracing.init_app(app)
    forwarding.init_app(app)
    requests.init_app(app)
    hosts.init_app(app)
    tokens.init_app(app)
    database.init_app(app, {**users.INDEXES, **counts.INDEXES, **audit.indexes(app.config["AUDIT_DAYS"])})
    audit.init_app(app)
    users.init_app(app)
    sessions.init_app(app)
    pending.init_app(app)
    letters.init_app(app)
    erasures.init_app(app)
    scrape.init_app(app)
    administrators.init_app(app)
    directory.init_app(app)
    hashing.init_app(app)
    hash_census.init_app(app)
    throttles.init_app(app)
    mail_throttles.init_app(app)
    machines = wellknown.blueprint, health.blueprint, inspection.blueprint, scrape.blueprint
    openapi.init_app(app, __version__, auth, user_routes, account, admin, *machines, docs.blueprint)
    app.register_blueprint(pages)
    app.cli.add_command(cli.keys)
    app.cli.add_command(mail)
    app.cli.add_command(db)
    app.cli.add_command(user_commands)
    user_commands.add_command(import_command)
    app.cli.add_command(doctor)
    problems.init_app(app)  # after flask-smorest, which has a renderer of its own
    cross_origin.init_app(app)
    return app
