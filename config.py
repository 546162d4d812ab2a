"""Settings from the environment. This is the only module that reads it.

Every variable may also be given as ``<NAME>_FILE``, the path of a file that holds the value, which is how
Docker and Kubernetes hand over secrets.
"""

import ipaddress
import os
import sys
import warnings
from email.headerregistry import HeaderRegistry
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from email_validator import validate_email
from environs import EnvValidationError, FileAwareEnv
from limits import parse_many
from marshmallow import ValidationError, validate
from phonenumbers import SUPPORTED_REGIONS
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri
from zxcvbn_rs_py import zxcvbn

ENVIRONMENTS = ("production", "development", "testing")
SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key has at least the 256 bits of the hash."""

TRACING_PACKAGES = ("", ".sdk", ".exporter", ".instrumentation", ".instrumentation.flask", ".instrumentation.pymongo")
"""Those of OpenTelemetry; a package comes before what is in it."""

YEAR_SECONDS = 366 * 24 * 3600


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
    secret = _present if relaxed else _strong_secret
    cost = validate.Range(4 if relaxed else 10, 16)
    at_least_one = validate.Range(min=1)
    public_url = env.str("PUBLIC_URL", None, validate=_public_url) or None
    return {
        "PIXORA_ENV": environment,
        "TRACING": _tracing(env),
        "TESTING": environment == "testing",
        "MONGO_URI": env.str("MONGO_URI", validate=_mongo_uri),
        "DATABASE_TIMEOUT_MS": env.int("DATABASE_TIMEOUT_MS", 3000, validate=validate.Range(min=100)),
        "SECRET_KEY": env.str("SECRET_KEY", validate=secret),
        "JWT_SECRET_KEY": env.str("JWT_SECRET_KEY", None, validate=lambda value: value and secret(value)) or None,
        "JWT_KEY_DIR": env.str("JWT_KEY_DIR", None, validate=_directory) or None,
        "JWT_ACCESS_TOKEN_EXPIRES": env.int("JWT_ACCESS_TOKEN_EXPIRES", 900, validate=at_least_one),
        "PUBLIC_URL": public_url,
        "SMTP_URL": env.str("SMTP_URL", None, validate=_smtp_url) or None,
        "MAIL_FROM": env.str("MAIL_FROM", None, validate=_mail_from) or None,
        "JWT_ISSUER": env.str("JWT_ISSUER", public_url or "pixora", validate=_present),
        "JWT_AUDIENCE": env.str("JWT_AUDIENCE", "pixora", validate=_present),
        "REFRESH_GRACE_SECONDS": env.int("REFRESH_GRACE_SECONDS", 10, validate=validate.Range(0, 60)),
        "REFRESH_IDLE_DAYS": env.int("REFRESH_IDLE_DAYS", 14, validate=at_least_one),
        "REFRESH_ABSOLUTE_DAYS": env.int("REFRESH_ABSOLUTE_DAYS", 90, validate=at_least_one),
        "MAX_SESSIONS_PER_USER": env.int("MAX_SESSIONS_PER_USER", 20, validate=validate.Range(1, 1000)),
        "BCRYPT_ROUNDS": env.int("BCRYPT_ROUNDS", 12, validate=cost),
        "HASH_QUEUE_SECONDS": env.float("HASH_QUEUE_SECONDS", 2.0, validate=validate.Range(0.1, 20)),
        "PASSWORD_MIN_LENGTH": env.int("PASSWORD_MIN_LENGTH", 12, validate=validate.Range(8, 72)),
        "PHONE_DEFAULT_REGION": env.str("PHONE_DEFAULT_REGION", None, validate=_region) or None,
        "PROXY_COUNT": env.int("PROXY_COUNT", 0, validate=validate.Range(0, 10)),
        "TRUSTED_HOSTS": env.list("TRUSTED_HOSTS", None, subcast=str.strip) or None,
        "CORS_ORIGINS": env.list("CORS_ORIGINS", [], subcast=str.strip, validate=_origins),
        "MAX_CONTENT_LENGTH": env.int("MAX_CONTENT_LENGTH", 16384, validate=validate.Range(min=1024)),
        "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": env.str(
            "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "10 per 15 minute", validate=_limit
        ),
        "THROTTLE_LOGIN_PER_ACCOUNT": env.str("THROTTLE_LOGIN_PER_ACCOUNT", "100 per hour", validate=_limit),
        "THROTTLE_LOGIN_PER_IP": env.str("THROTTLE_LOGIN_PER_IP", "60 per 15 minute", validate=_limit),
        "THROTTLE_SIGNUP_PER_IP": env.str("THROTTLE_SIGNUP_PER_IP", "20 per hour", validate=_limit),
        "THROTTLE_MAIL_PER_ACCOUNT": env.str("THROTTLE_MAIL_PER_ACCOUNT", "5 per hour", validate=_limit),
        "AUDIT_DAYS": env.int("AUDIT_DAYS", 365, validate=validate.Range(1, 3650)),
        "REQUIRE_VERIFIED_EMAIL": env.bool("REQUIRE_VERIFIED_EMAIL", False),
        "ENUMERATION_SAFE": env.bool("ENUMERATION_SAFE", False),
        "WEB_CONCURRENCY": env.int("WEB_CONCURRENCY", os.cpu_count() or 1, validate=at_least_one),
        "GUNICORN_THREADS": env.int("GUNICORN_THREADS", 64, validate=at_least_one),
    }


def _tracing(env: FileAwareEnv) -> bool:
    """Tell whether to trace, by the standard variables of OpenTelemetry, whose SDK reads the others itself."""
    if env.bool("OTEL_SDK_DISABLED", False) or env.str("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    collectors = (
        env.str("OTEL_EXPORTER_OTLP_ENDPOINT", None, validate=_collector),
        env.str("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None, validate=_collector),
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


def _collector(value: str) -> None:
    if not value:
        return
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValidationError("Must be as in http://collector.example.com:4318.")
    if not all(find_spec(f"opentelemetry{name}") for name in TRACING_PACKAGES):
        raise ValidationError("Tracing needs more: pip install --require-hashes -r requirements-tracing.txt")


def _present(value: str) -> None:
    if not value:
        raise ValidationError("Must not be empty.")


def _mongo_uri(value: str) -> None:
    # By hand first, for PyMongo does not ask for a database, and asks the DNS about mongodb+srv:// addresses.
    parts = urlsplit(value)
    if parts.scheme not in ("mongodb", "mongodb+srv") or not parts.netloc:
        raise ValidationError("Must begin with mongodb://host or mongodb+srv://host.")
    if not parts.path.strip("/"):
        raise ValidationError("Must name a database, as in mongodb://host/pixora.")
    try:
        with warnings.catch_warnings(action="ignore"):  # of options it does not know, when the client is made
            parse_uri(value.replace("mongodb+srv://", "mongodb://", 1))
    except OSError:
        raise ValidationError("Names a file that cannot be read.") from None
    except (PyMongoError, ValueError):  # whose words may quote the password
        raise ValidationError(
            "Cannot be read. In user and password, all but letters and digits must be percent-encoded; ports must be "
            "numbers; and no option may contradict another."
        ) from None


def _strong_secret(value: str) -> None:
    advice = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
    if len(value.encode()) < SECRET_BYTES:
        raise ValidationError(f"Must have at least {SECRET_BYTES} bytes. {advice}")
    if int(zxcvbn(value[:72]).score) < 4:
        raise ValidationError(f"Is too easy to guess. {advice}")


def _directory(value: str) -> None:
    if value and not Path(value).is_dir():
        raise ValidationError("Must be a directory.")


def _public_url(value: str) -> None:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or value != f"{parts.scheme}://{parts.netloc}"):
        raise ValidationError("Must be as in https://auth.example.com, without a path or a slash at the end.")


def _smtp_url(value: str) -> None:
    if not value:
        return
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("smtp", "smtps") and parts.hostname and parts.port != 0 and not parts.path.strip("/")
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        valid = False
    if not valid or parts.fragment:
        raise ValidationError("Must be as in smtp://user:password@mail.example.com:587, or smtps://.")
    if options and (options.keys() != {"starttls"} or options["starttls"] not in ("always", "never")):
        raise ValidationError("May end with ?starttls=always or ?starttls=never, and with nothing else.")
    if options and parts.scheme == "smtps":
        raise ValidationError("Has TLS from the beginning with smtps://, so there is no starttls to choose.")
    if (parts.username is None) != (parts.password is None):
        raise ValidationError("Must have both user and password, or neither.")
    if parts.username is not None and not unquote(f"{parts.username}{parts.password}").isascii():
        raise ValidationError("Must have user and password in ASCII, percent-encoded.")
    if parts.username is not None and options.get("starttls") == "never" and not _is_loopback(parts.hostname or ""):
        raise ValidationError("Must not have ?starttls=never with a password: it would travel in clear.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _mail_from(value: str) -> None:
    header: Any = HeaderRegistry()("From", value if value.isprintable() else "")
    try:
        [address] = [] if header.defects else header.addresses
        validate_email(address.addr_spec, check_deliverability=False, globally_deliverable=False)
    except ValueError:
        if value:
            raise ValidationError("Must be one address, as in Example <no-reply@example.com>.") from None


def _region(value: str) -> None:
    if value and value not in SUPPORTED_REGIONS:
        raise ValidationError("Must be a two-letter country code in capitals, as in GB.")


def _origins(values: list[str]) -> None:
    for value in values:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or value != f"{parts.scheme}://{parts.netloc}":
            raise ValidationError(f"{value!r} is not an origin, as in https://app.example.com.")


def _limit(value: str) -> None:
    try:
        [limit] = parse_many(value)
    except ValueError:
        raise ValidationError("Must be one limit, as in 10 per 15 minute.") from None
    if not (1 <= limit.amount <= 1_000_000 and limit.get_expiry() <= YEAR_SECONDS):
        raise ValidationError("Must be between 1 and 1000000, in a year at most.")


def mongod() -> str | None:
    """Return the path of the mongod to use in development and tests, where one is set."""
    return os.environ.get("PIXORA_MONGOD")
