"""Settings from the environment. This is the only module that reads it.

Every variable may also be given as ``<NAME>_FILE``, the path of a file that holds the value, which is how
Docker and Kubernetes hand over secrets.
"""

import os
import sys
from typing import Any, cast

from environs import EnvValidationError, FileAwareEnv
from marshmallow import validate

import config_rules as rules

ENVIRONMENTS = ("production", "development", "testing")


class ConfigError(Exception):
    """The environment cannot be used. ``faults`` has one sentence for each variable at fault."""

    def __init__(self, faults: dict[str, list[str]]) -> None:
        self.faults = faults
        lines = [f"  {name}: {' '.join(sentences)}" for name, sentences in sorted(faults.items())]
        super().__init__("\n".join(["Pixora cannot start, its configuration is at fault:", *lines]))


def load() -> dict[str, Any]:
    """Read and check the environment.

    Returns:
        The settings, by the names Flask and its extensions know them by.

    Raises:
        ConfigError: naming every variable that is missing, malformed or, in production, weak.

    """
    env = FileAwareEnv(eager=False, strip_whitespace=True)
    faults: dict[str, list[str]] = {}
    try:
        settings = _read(env)
        env.seal()
    except EnvValidationError as error:
        faults = cast(dict[str, list[str]], error.error_messages)
    except ValueError as error:  # of FileAwareEnv, on a <NAME>_FILE that cannot be read; names it
        raise ConfigError({"file": [str(error)]}) from None
    if not faults.keys() & {"JWT_SECRET_KEY", "JWT_KEY_DIR"}:
        if bool(settings["JWT_SECRET_KEY"]) == bool(settings["JWT_KEY_DIR"]):
            faults["JWT_SECRET_KEY"] = ["Either this or JWT_KEY_DIR must be set, and not both."]
        elif settings["PIXORA_ENV"] == "production" and settings["SECRET_KEY"] == settings["JWT_SECRET_KEY"]:
            faults["SECRET_KEY"] = ["Must not be the same as JWT_SECRET_KEY."]
    if not faults and settings["SMTP_URL"] and settings["PIXORA_ENV"] == "production":
        for name in ("PUBLIC_URL", "MAIL_FROM"):
            if not settings[name]:
                faults[name] = ["Must be set, as SMTP_URL is: letters need it."]
    if faults:
        raise ConfigError(faults)
    return settings


def _read(env: FileAwareEnv) -> dict[str, Any]:
    environment = env.str("PIXORA_ENV", "production", validate=validate.OneOf(ENVIRONMENTS))
    relaxed = environment in ("development", "testing")
    secret = rules.present if relaxed else rules.strong_secret
    cost = validate.Range(4 if relaxed else 10, 16)
    days = validate.Range(1, 3650)
    public_url = env.str("PUBLIC_URL", None, validate=rules.public_url) or None
    return {
        "PIXORA_ENV": environment,
        "TRACING": _tracing(env),
        "TESTING": environment == "testing",
        "MONGO_URI": env.str("MONGO_URI", validate=rules.mongo_uri),
        "DATABASE_TIMEOUT_MS": env.int("DATABASE_TIMEOUT_MS", 3000, validate=validate.Range(100, 60_000)),
        "SECRET_KEY": env.str("SECRET_KEY", validate=secret),
        "JWT_SECRET_KEY": env.str("JWT_SECRET_KEY", None, validate=lambda value: value and secret(value)) or None,
        "JWT_KEY_DIR": env.str("JWT_KEY_DIR", None, validate=rules.directory) or None,
        "JWT_ACCESS_TOKEN_EXPIRES": env.int("JWT_ACCESS_TOKEN_EXPIRES", 900, validate=validate.Range(1, 2_678_400)),
        "PUBLIC_URL": public_url,
        "SMTP_URL": env.str("SMTP_URL", None, validate=rules.smtp_url) or None,
        "MAIL_FROM": env.str("MAIL_FROM", None, validate=rules.mail_from) or None,
        "JWT_ISSUER": env.str("JWT_ISSUER", public_url or "pixora", validate=rules.present),
        "JWT_AUDIENCE": env.str("JWT_AUDIENCE", "pixora", validate=rules.present),
        "REFRESH_GRACE_SECONDS": env.int("REFRESH_GRACE_SECONDS", 10, validate=validate.Range(0, 60)),
        "REFRESH_IDLE_DAYS": env.int("REFRESH_IDLE_DAYS", 14, validate=days),
        "REFRESH_ABSOLUTE_DAYS": env.int("REFRESH_ABSOLUTE_DAYS", 90, validate=days),
        "MAX_SESSIONS_PER_USER": env.int("MAX_SESSIONS_PER_USER", 20, validate=validate.Range(1, 1000)),
        "BCRYPT_ROUNDS": env.int("BCRYPT_ROUNDS", 12, validate=cost),
        "HASH_QUEUE_SECONDS": env.float("HASH_QUEUE_SECONDS", 2.0, validate=validate.Range(0.1, 20)),
        "PASSWORD_MIN_LENGTH": env.int("PASSWORD_MIN_LENGTH", 12, validate=validate.Range(8, 72)),
        "PHONE_DEFAULT_REGION": env.str("PHONE_DEFAULT_REGION", None, validate=rules.region) or None,
        "PROXY_COUNT": env.int("PROXY_COUNT", 0, validate=validate.Range(0, 10)),
        "TRUSTED_HOSTS": rules.each(rules.host, env.list("TRUSTED_HOSTS", None, validate=rules.all_are(rules.host)))
        or None,
        "CORS_ORIGINS": rules.each(rules.origin, env.list("CORS_ORIGINS", [], validate=rules.all_are(rules.origin))),
        "CORS_ALLOW_HEADERS": env.list(
            "CORS_ALLOW_HEADERS", [], subcast=str.strip, validate=rules.all_are(rules.header_name)
        ),
        "MAX_CONTENT_LENGTH": env.int("MAX_CONTENT_LENGTH", 16384, validate=validate.Range(1024, 2**20)),
        "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": env.str(
            "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "10 per 15 minute", validate=rules.limit
        ),
        "THROTTLE_LOGIN_PER_ACCOUNT": env.str("THROTTLE_LOGIN_PER_ACCOUNT", "100 per hour", validate=rules.limit),
        "THROTTLE_LOGIN_PER_IP": env.str("THROTTLE_LOGIN_PER_IP", "60 per 15 minute", validate=rules.limit),
        "THROTTLE_SIGNUP_PER_IP": env.str("THROTTLE_SIGNUP_PER_IP", "20 per hour", validate=rules.limit),
        "THROTTLE_MAIL_PER_ACCOUNT": env.str("THROTTLE_MAIL_PER_ACCOUNT", "5 per hour", validate=rules.limit),
        "THROTTLE_MAIL_PER_IP": env.str("THROTTLE_MAIL_PER_IP", "60 per hour", validate=rules.limit),
        "THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT": env.str(
            "THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT", "5 per hour", validate=rules.limit
        ),
        "AUDIT_DAYS": env.int("AUDIT_DAYS", 365, validate=days),
        "REQUIRE_VERIFIED_EMAIL": env.bool("REQUIRE_VERIFIED_EMAIL", False),
        "ENUMERATION_SAFE": env.bool("ENUMERATION_SAFE", False),
        "WEB_CONCURRENCY": env.int("WEB_CONCURRENCY", os.cpu_count() or 1, validate=validate.Range(1, 1024)),
        "GUNICORN_THREADS": env.int("GUNICORN_THREADS", 64, validate=validate.Range(1, 4096)),
    }


def _tracing(env: FileAwareEnv) -> bool:
    """Tell whether to trace, by the standard variables of OpenTelemetry, whose SDK reads the others itself."""
    if env.bool("OTEL_SDK_DISABLED", False) or env.str("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    collectors = (
        env.str("OTEL_EXPORTER_OTLP_ENDPOINT", None, validate=rules.collector),
        env.str("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None, validate=rules.collector),
    )
    if any(collectors):
        env.str("OTEL_TRACES_EXPORTER", "otlp", validate=validate.OneOf(["otlp"]))
        env.str("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", validate=validate.OneOf(["http/protobuf"]))
    return any(collectors)


def load_or_exit() -> dict[str, Any]:
    """Like `load`, for programs: on a fault print it, without a traceback, and exit with status 78."""
    try:
        return load()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(os.EX_CONFIG)


def mongod() -> str | None:
    """Return the path of the mongod to use in development and tests, where one is set."""
    return os.environ.get("PIXORA_MONGOD")
