"""Pixora: an authentication and user management service. `create_app` assembles it."""

import re
import sys
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path

import flask
from flask.json.provider import DefaultJSONProvider
from flask_jwt_extended import JWTManager
from flask_pymongo import PyMongo
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException

from config import Settings
from pixora.accounts import audit
from pixora.accounts.administrators import LEAVING_DEADLINES, Administrators
from pixora.accounts.audit import Audit
from pixora.accounts.directory import Directory
from pixora.accounts.erasure import Erasure
from pixora.accounts.factors import FactorStore
from pixora.accounts.hash_census import RefusalCost
from pixora.accounts.metrics import AccountMetrics
from pixora.accounts.one_time_tokens import OneTimeTokenStore
from pixora.accounts.outbox import Outbox
from pixora.accounts.passkeys import PasskeyStore
from pixora.accounts.sessions import Lifetimes, SessionStore
from pixora.accounts.users import INDEXES, UserStore
from pixora.admin.routes import blueprint as admin
from pixora.auth.routes import blueprint as auth
from pixora.commands import Commands
from pixora.database import deadline
from pixora.database.client import Database
from pixora.email_templates import rendering
from pixora.email_templates.catalogue import Catalogue
from pixora.errors import PixoraError
from pixora.factors.encryption import name_of
from pixora.oauth.introspection import blueprint as introspection
from pixora.oauth.routes import blueprint as oauth
from pixora.observability.request_log import REQUEST_LOG, Flask
from pixora.observability.tracing_fault import TracingFault
from pixora.pages.brand import blueprint as brand
from pixora.pages.routes import blueprint as pages
from pixora.passwords import cores
from pixora.passwords.queue import FREE_THREADS, HashingQueue
from pixora.services import Services
from pixora.system import client_echo, docs, health, metrics_endpoint, wellknown
from pixora.throttling import counters
from pixora.throttling.counters import Counters
from pixora.throttling.limits import LEASE_MARGIN, Throttles
from pixora.throttling.mail import MailThrottles
from pixora.throttling.outages import Outages
from pixora.throttling.second_factor import SecondFactorThrottles
from pixora.tokens import access
from pixora.tokens.access import Tokens
from pixora.users.routes import blueprint as user_routes
from pixora.web import cors, forwarding, hosts, middleware, openapi, problems

__version__ = "0.1.0"


class JSONProvider(DefaultJSONProvider):
    """Compact JSON in UTF-8 that keeps the order of keys."""

    ensure_ascii = False
    sort_keys = False
    compact = True


def create_app(settings: Settings) -> flask.Flask:
    """Return the application.

    Raises:
        ConfigurationError: the hosts of a `MONGO_URI` with mongodb+srv:// cannot be looked up.
        KeyFault: a key file of `JWT_KEY_DIR` cannot be used.
        TemplateFault: a template of `MAIL_TEMPLATES` cannot be used.
        TracingFault: OpenTelemetry cannot use one of its variables.

    """
    app = Flask(__name__)
    app.cli = Commands(app.name)
    app.config.from_mapping({name.upper(): value for name, value in asdict(settings).items()})
    app.config["TRUSTED_HOSTS"] = None  # replaces Flask's own check by that of pixora.web.hosts
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_content_length
    app.jinja_env.undefined = StrictUndefined  # a missing variable raises an error
    app.session_interface = middleware.NoSession()
    if settings.tracing:  # before the client of MongoDB exists: it reports to listeners that are there by then
        try:
            from pixora.observability import tracing  # noqa: PLC0415  # its packages are optional and slow to import

            tracing.init_app(app)
        except (ValueError, re.error) as error:
            raise TracingFault(str(error)) from error
    mongo = PyMongo(app, timeoutMS=settings.database_timeout_ms, tz_aware=True, appname="pixora")
    app.json = JSONProvider(app)  # replaces Flask-PyMongo's, which reads {"$oid": …} and writes {"$date": …}
    app.config |= access.configuration(settings)
    app.extensions["services"] = _build_services(settings, mongo, JWTManager(app))

    # Every request passes these. Each wraps those above it, so the last one comes first.
    app.wsgi_app = deadline.Deadline(app.wsgi_app)  # type: ignore[assignment,method-assign]
    app.wsgi_app = middleware.ResponseHeaders(app.wsgi_app)  # type: ignore[assignment,method-assign]
    app.wsgi_app = forwarding.Forwarding(app.wsgi_app, settings.proxy_count)  # type: ignore[assignment,method-assign]
    # Then these, in this order.
    cors.init_app(app)
    app.before_request(middleware.reject_large_body)
    if settings.trusted_hosts:
        app.before_request(partial(hosts.reject_untrusted, settings.trusted_hosts))

    api_blueprints = [auth, oauth, user_routes, admin]
    if settings.service_keys:
        api_blueprints.append(introspection)
    system_blueprints = [wellknown.blueprint, health.blueprint, client_echo.blueprint, metrics_endpoint.blueprint]
    # Optional features are imported only where they are registered: fido2 and segno take time and memory.
    if settings.webauthn_origins:
        from pixora.passkeys import routes as passkey_routes  # noqa: PLC0415
        from pixora.system import passkey_documents  # noqa: PLC0415

        api_blueprints += [passkey_routes.login, passkey_routes.own]
        system_blueprints.append(passkey_documents.blueprint)
    if settings.data_keys or settings.webauthn_origins:
        from pixora.factors import routes as factor_routes  # noqa: PLC0415

        api_blueprints += [factor_routes.mfa, factor_routes.own] if settings.data_keys else []
        api_blueprints.append(factor_routes.admin)
    openapi.init_app(app, __version__, *api_blueprints, *system_blueprints, docs.blueprint)
    app.register_blueprint(pages)
    app.register_blueprint(brand)
    if settings.pixora_env == "development":
        from pixora.development.pages import blueprint as development  # noqa: PLC0415

        app.register_blueprint(development)
        REQUEST_LOG.handler.is_readable = sys.stdout.isatty()
    app.register_error_handler(PixoraError, problems.from_error)
    app.register_error_handler(HTTPException, problems.from_http)  # replaces flask-smorest's
    return app


def _build_services(settings: Settings, mongo: PyMongo, jwt_manager: JWTManager) -> Services:
    """Build the services in the order of their dependencies."""
    hashing_queue = HashingQueue(
        cores.count(),
        max(1, settings.gunicorn_threads - FREE_THREADS),
        settings.hash_queue_seconds,
        rounds=settings.bcrypt_rounds,
        workers=settings.web_concurrency,
    )
    database = Database(mongo, {**INDEXES, **counters.INDEXES, **audit.indexes(settings.audit_days)})
    database_timeout = timedelta(milliseconds=settings.database_timeout_ms)
    lease = 2 * timedelta(seconds=settings.hash_queue_seconds) + database_timeout + LEASE_MARGIN
    throttles = Throttles(Counters(database, lease), settings)
    lifetimes = Lifetimes(
        idle=timedelta(days=settings.refresh_idle_days),
        absolute=timedelta(days=settings.refresh_absolute_days),
        max_sessions=settings.max_sessions_per_user,
    )
    audit_trail = Audit(database)
    users = UserStore(database)
    sessions = SessionStore(users, lifetimes)
    one_time_tokens = OneTimeTokenStore(users, database)
    factor_store = FactorStore(users)
    outbox = Outbox(users, settings.secret_key)
    directory = Path(settings.mail_templates) if settings.mail_templates else None
    email_templates = Catalogue(directory, settings.default_locale)
    if directory:  # ours alone are checked by the tests
        rendering.check(email_templates)
    return Services(
        settings=settings,
        tokens=Tokens(jwt_manager, settings),
        hashing_queue=hashing_queue,
        database=database,
        throttles=throttles,
        mail_throttles=MailThrottles(throttles),
        second_factor_throttles=SecondFactorThrottles(throttles),
        outages=Outages(database),
        audit=audit_trail,
        users=users,
        sessions=sessions,
        passkeys=PasskeyStore(users, sessions),
        factors=factor_store,
        one_time_tokens=one_time_tokens,
        outbox=outbox,
        metrics=AccountMetrics(outbox, factor_store, [name_of(key) for key in settings.data_keys]),
        erasure=Erasure(database, users, one_time_tokens, outbox, audit_trail, secret_key=settings.secret_key),
        administrators=Administrators(users, LEAVING_DEADLINES * database_timeout),
        directory=Directory(users),
        email_templates=email_templates,
        refusal_cost=RefusalCost(users, settings.bcrypt_rounds),
    )
