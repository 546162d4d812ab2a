"""Settings from the environment. This is the only module that reads it.

Every variable may also be given as ``<NAME>_FILE``, the path of a file that holds the value, which is how
Docker and Kubernetes hand over secrets.
"""

import os
import sys
from dataclasses import dataclass
from typing import cast

from environs import EnvValidationError, FileAwareEnv
from marshmallow import validate

import config_rules as rules

ENVIRONMENTS = ("production", "development", "testing")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings, by the names of their variables in lower case; docs/configuration.md says what each is for."""

    pixora_env: str
    tracing: bool
    testing: bool
    mongo_uri: str
    database_timeout_ms: int
    secret_key: str
    jwt_secret_key: str | None
    jwt_key_dir: str | None
    jwt_access_token_expires: int
    public_url: str | None
    smtp_url: str | None
    mail_from: str | None
    jwt_issuer: str
    jwt_audience: str
    refresh_grace_seconds: int
    refresh_idle_days: int
    refresh_absolute_days: int
    max_sessions_per_user: int
    bcrypt_rounds: int
    hash_queue_seconds: float
    password_min_length: int
    phone_default_region: str | None
    proxy_count: int
    trusted_hosts: list[str] | None
    cors_origins: list[str]
    cors_allow_headers: list[str]
    max_content_length: int
    throttle_login_per_account_and_ip: str
    throttle_login_per_account: str
    throttle_login_per_ip: str
    throttle_signup_per_ip: str
    throttle_mail_per_account: str
    throttle_mail_per_ip: str
    throttle_password_change_per_account: str
    audit_days: int
    require_verified_email: bool
    enumeration_safe: bool
    web_concurrency: int
    gunicorn_threads: int


class ConfigError(Exception):
    """The environment cannot be used. ``faults`` has one sentence for each variable at fault."""

    def __init__(self, faults: dict[str, list[str]]) -> None:
        self.faults = faults
        lines = [f"  {name}: {' '.join(sentences)}" for name, sentences in sorted(faults.items())]
        super().__init__("\n".join(["Pixora cannot start, its configuration is at fault:", *lines]))


def load() -> Settings:
    """Read and check the environment.

    Returns:
        The settings.

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
        if bool(settings.jwt_secret_key) == bool(settings.jwt_key_dir):
            faults["JWT_SECRET_KEY"] = ["Either this or JWT_KEY_DIR must be set, and not both."]
        elif settings.pixora_env == "production" and settings.secret_key == settings.jwt_secret_key:
            faults["SECRET_KEY"] = ["Must not be the same as JWT_SECRET_KEY."]
    if not faults and settings.smtp_url and settings.pixora_env == "production":
        for name in ("PUBLIC_URL", "MAIL_FROM"):
            if not getattr(settings, name.lower()):
                faults[name] = ["Must be set, as SMTP_URL is: letters need it."]
    if faults:
        raise ConfigError(faults)
    return settings


def _read(env: FileAwareEnv) -> Settings:
    environment = env.str("PIXORA_ENV", "production", validate=validate.OneOf(ENVIRONMENTS))
    relaxed = environment in ("development", "testing")
    secret = rules.present if relaxed else rules.strong_secret
    cost = validate.Range(4 if relaxed else 10, 16)
    days = validate.Range(1, 3650)
    public_url = env.str("PUBLIC_URL", None, validate=rules.public_url) or None
    return Settings(
        pixora_env=environment,
        tracing=_tracing(env),
        testing=environment == "testing",
        mongo_uri=env.str("MONGO_URI", validate=rules.mongo_uri),
        database_timeout_ms=env.int("DATABASE_TIMEOUT_MS", 3000, validate=validate.Range(100, 60_000)),
        secret_key=env.str("SECRET_KEY", validate=secret),
        jwt_secret_key=env.str("JWT_SECRET_KEY", None, validate=lambda value: value and secret(value)) or None,
        jwt_key_dir=env.str("JWT_KEY_DIR", None, validate=rules.directory) or None,
        jwt_access_token_expires=env.int("JWT_ACCESS_TOKEN_EXPIRES", 900, validate=validate.Range(1, 2_678_400)),
        public_url=public_url,
        smtp_url=env.str("SMTP_URL", None, validate=rules.smtp_url) or None,
        mail_from=env.str("MAIL_FROM", None, validate=rules.mail_from) or None,
        jwt_issuer=env.str("JWT_ISSUER", public_url or "pixora", validate=rules.present),
        jwt_audience=env.str("JWT_AUDIENCE", "pixora", validate=rules.present),
        refresh_grace_seconds=env.int("REFRESH_GRACE_SECONDS", 10, validate=validate.Range(0, 60)),
        refresh_idle_days=env.int("REFRESH_IDLE_DAYS", 14, validate=days),
        refresh_absolute_days=env.int("REFRESH_ABSOLUTE_DAYS", 90, validate=days),
        max_sessions_per_user=env.int("MAX_SESSIONS_PER_USER", 20, validate=validate.Range(1, 1000)),
        bcrypt_rounds=env.int("BCRYPT_ROUNDS", 12, validate=cost),
        hash_queue_seconds=env.float("HASH_QUEUE_SECONDS", 2.0, validate=validate.Range(0.1, 20)),
        password_min_length=env.int("PASSWORD_MIN_LENGTH", 12, validate=validate.Range(8, 72)),
        phone_default_region=env.str("PHONE_DEFAULT_REGION", None, validate=rules.region) or None,
        proxy_count=env.int("PROXY_COUNT", 0, validate=validate.Range(0, 10)),
        trusted_hosts=rules.each(rules.host, env.list("TRUSTED_HOSTS", None, validate=rules.all_are(rules.host)))
        or None,
        cors_origins=rules.each(rules.origin, env.list("CORS_ORIGINS", [], validate=rules.all_are(rules.origin))),
        cors_allow_headers=env.list(
            "CORS_ALLOW_HEADERS", [], subcast=str.strip, validate=rules.all_are(rules.header_name)
        ),
        max_content_length=env.int("MAX_CONTENT_LENGTH", 16384, validate=validate.Range(1024, 2**20)),
        throttle_login_per_account_and_ip=env.str(
            "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "10 per 15 minute", validate=rules.limit
        ),
        throttle_login_per_account=env.str("THROTTLE_LOGIN_PER_ACCOUNT", "100 per hour", validate=rules.limit),
        throttle_login_per_ip=env.str("THROTTLE_LOGIN_PER_IP", "60 per 15 minute", validate=rules.limit),
        throttle_signup_per_ip=env.str("THROTTLE_SIGNUP_PER_IP", "20 per hour", validate=rules.limit),
        throttle_mail_per_account=env.str("THROTTLE_MAIL_PER_ACCOUNT", "5 per hour", validate=rules.limit),
        throttle_mail_per_ip=env.str("THROTTLE_MAIL_PER_IP", "60 per hour", validate=rules.limit),
        throttle_password_change_per_account=env.str(
            "THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT", "5 per hour", validate=rules.limit
        ),
        audit_days=env.int("AUDIT_DAYS", 365, validate=days),
        require_verified_email=env.bool("REQUIRE_VERIFIED_EMAIL", False),
        enumeration_safe=env.bool("ENUMERATION_SAFE", False),
        web_concurrency=env.int("WEB_CONCURRENCY", os.cpu_count() or 1, validate=validate.Range(1, 1024)),
        gunicorn_threads=env.int("GUNICORN_THREADS", 64, validate=validate.Range(1, 4096)),
    )


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


def load_or_exit() -> Settings:
    """Like `load`, for programs: on a fault print it, without a traceback, and exit with status 78."""
    try:
        return load()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(os.EX_CONFIG)


def mongod() -> str | None:
    """Return the path of the mongod to use in development and tests, where one is set."""
    return os.environ.get("PIXORA_MONGOD")
