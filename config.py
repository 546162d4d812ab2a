"""Settings from the environment. Only this module reads it.

Every variable may also be given as ``<NAME>_FILE``, the path of a file with the value, which is how Docker and
Kubernetes provide secrets.

The functions at the end check one setting each, and reject what would let the service start and then fail. Some return
the value in the form in which it is used.
"""

import hmac
import ipaddress
import os
import re
import sys
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from email.headerregistry import HeaderRegistry
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from email_validator import validate_email
from environs import EnvNotSetError, EnvValidationError, FileAwareEnv
from limits import parse_many
from marshmallow import ValidationError, validate
from phonenumbers import SUPPORTED_REGIONS
from zxcvbn_rs_py import zxcvbn

if not find_spec("OpenSSL"):
    # PyMongo would import 10 MB of cryptography for OCSP before it finds that pyOpenSSL is missing (pymongo[ocsp]).
    sys.modules["pymongo.pyopenssl_context"] = None  # type: ignore[assignment]

from pymongo import MongoClient  # after the lines above
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

PROFILE_FIELDS = ["first_name", "last_name", "contact", "birthday"]
"""The fields of a profile that a sign-up may have to bring, besides e-mail address and password."""

SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key has at least the 256 bits of the hash."""

TRACING_PACKAGES = ("", ".sdk", ".exporter", ".instrumentation", ".instrumentation.flask", ".instrumentation.pymongo")
"""Packages of OpenTelemetry, each before its subpackages."""

RESERVED_CLAIM = re.compile(
    "iss|sub|aud|exp|nbf|iat|jti|sid|type|fresh|client_id|azp|scope|nonce|auth_time|acr|amr|cnf|act|may_act|"
    "roles|email|email_verified"
)
"""Claims that `app_metadata` must not shadow: those of RFC 7519, our own, and those that others decide access by."""

YEAR_SECONDS = 366 * 24 * 3600
DEFAULT_PORTS = {"http": 80, "https": 443}

ANDROID_APP = r"([A-Za-z]\w*(?:\.[A-Za-z]\w*)+):((?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2})"
INVALID = "Must be valid text in UTF-8."
PRESENT = validate.Length(1, error="Must not be empty.")
BCP_47 = r"(?!.{36})[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2}|-[0-9]{3})?\Z"
LOCALE = validate.Regexp(BCP_47, error="Must be a language, as in de or de-AT.")
COLOR = validate.Regexp(r"(#[0-9A-Fa-f]{6})?\Z", error="Must be a colour, as in #1d4ed8.")
REGION = validate.OneOf(["", *SUPPORTED_REGIONS], error="Must be a two-letter country code in capitals, as in GB.")

DATA_KEY = re.compile("[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=")
"""The unused bits of the last character must be zero: each key has one spelling."""

LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
BELOW = r"\*?\.(?=[^:]+\.|localhost\b)(?![^:]*\.[0-9]+(?::|$))"
HOST = re.compile(rf"(?P<name>\[(?P<ipv6>[^]]+)\]|(?:{BELOW})?{LABEL}(?:\.{LABEL})*)(?::(?P<port>[0-9]{{1,5}}))?")
"""A leading dot stands for the name and its subdomains, ``*.`` for the subdomains only; neither for a whole ``com``."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings, named as their variables in lower case; docs/configuration.md describes each."""

    pixora_env: str
    tracing: bool
    testing: bool
    mongo_uri: str
    database_timeout_ms: int
    secret_key: str
    jwt_secret_key: str | None
    jwt_key_dir: str | None
    derive_jwt_key: bool
    jwt_access_token_expires: int
    public_url: str | None
    smtp_url: str | None
    mail_from: str | None
    mail_templates: str | None
    default_locale: str
    brand_color: str | None
    brand_logo: str | None
    return_url: str | None
    link_verify_email: str | None
    link_reset_password: str | None
    link_change_email: str | None
    link_invitation: str | None
    link_enroll_passkey: str | None
    link_manage_passkeys: str | None
    jwt_issuer: str
    jwt_audience: str
    token_claims: list[str]
    service_keys: list[tuple[str, str]]
    refresh_grace_seconds: int
    refresh_idle_days: int
    refresh_absolute_days: int
    max_sessions_per_user: int
    bcrypt_rounds: int
    hash_queue_seconds: float
    password_min_length: int
    phone_default_region: str | None
    required_fields: list[str]
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
    throttle_introspection_per_service: str
    throttle_service_key_per_ip: str
    webauthn_rp_id: str | None
    webauthn_origins: list[str]
    webauthn_android_apps: list[str]
    webauthn_apple_apps: list[str]
    throttle_second_factor_per_account_and_ip: str
    throttle_second_factor_per_account: str
    data_keys: list[str]
    admin_second_factor: bool
    audit_days: int
    require_verified_email: bool
    enumeration_safe: bool
    web_concurrency: int
    gunicorn_threads: int


class ConfigError(Exception):
    """The environment is not valid. ``faults`` has the messages for each variable."""

    def __init__(self, faults: dict[str, list[str]]) -> None:
        self.faults = faults
        lines = [f"  {name}: {' '.join(sentences)}" for name, sentences in sorted(faults.items())]
        super().__init__("\n".join(["Pixora cannot start, its configuration is at fault:", *lines]))


def load() -> Settings:
    """Return the settings, read from the environment and checked.

    Raises:
        ConfigError: a variable is missing, malformed or, in production, weak; names every such variable.

    """
    faults: dict[str, list[str]] = {}
    settings = _read(_environment(faults))
    if not faults.keys() & {"JWT_SECRET_KEY", "JWT_KEY_DIR"}:
        if settings.derive_jwt_key and not settings.jwt_secret_key and not settings.jwt_key_dir:
            key = hmac.digest(str(settings.secret_key).encode(), b"pixora access tokens 1", "sha256").hex()
            settings = replace(settings, jwt_secret_key=key)
        if bool(settings.jwt_secret_key) == bool(settings.jwt_key_dir):
            faults["JWT_SECRET_KEY"] = ["Either this or JWT_KEY_DIR must be set, and not both."]
        elif settings.pixora_env == "production" and settings.secret_key == settings.jwt_secret_key:
            faults["SECRET_KEY"] = ["Must not be the same as JWT_SECRET_KEY."]
    if not faults:
        faults = _incomplete(settings)
    if faults:
        raise ConfigError(faults)
    return settings


def _environment(faults: dict[str, list[str]]) -> FileAwareEnv:
    """Return what reads variables; whatever the value of one raises becomes a fault of this variable."""
    env = FileAwareEnv(strip_whitespace=True)

    def read(method: Callable[..., Any], name: str, *args: Any, **options: Any) -> Any:
        try:
            os.environ.get(name, "").encode()  # raises for bytes that are not UTF-8: Python reads them as surrogates
            return method(name, *args, **options)
        except EnvValidationError as error:
            found: Any = error.error_messages  # of a list, the messages by the place of the value
            faults[name] = list(chain(*found.values())) if isinstance(found, dict) else found
        except EnvNotSetError:
            faults[name] = ["Environment variable not set."]
        except (OSError, ValueError):  # their messages may quote a secret
            is_file = os.environ.get(f"{name}_FILE")
            faults[name] = [f"Cannot be read from {name}_FILE, as a file in UTF-8." if is_file else INVALID]

    for kind in ("str", "bool", "int", "float", "list"):
        setattr(env, kind, partial(read, getattr(env, kind)))
    return env


def _read(env: FileAwareEnv) -> Settings:
    environment = env.str("PIXORA_ENV", "production", validate=validate.OneOf(["production", "development", "testing"]))
    relaxed = environment in ("development", "testing")
    secret = PRESENT if relaxed else _strong_secret
    days = validate.Range(1, 3650)
    limit = partial(env.str, validate=_limit)
    public_url = env.str("PUBLIC_URL", None, validate=_public_url) or None
    pages = env.list("WEBAUTHN_ORIGINS", [], subcast=_webauthn_origin) or []
    android_apps = env.list("WEBAUTHN_ANDROID_APPS", [], subcast=_android_app) or []
    return Settings(
        pixora_env=environment,
        tracing=_tracing(env),
        testing=environment == "testing",
        mongo_uri=env.str("MONGO_URI", validate=_mongo_uri),
        database_timeout_ms=env.int("DATABASE_TIMEOUT_MS", 3000, validate=validate.Range(100, 60_000)),
        secret_key=env.str("SECRET_KEY", validate=secret),
        jwt_secret_key=env.str("JWT_SECRET_KEY", None, validate=lambda value: value and secret(value)) or None,
        jwt_key_dir=env.str("JWT_KEY_DIR", None, validate=_directory) or None,
        derive_jwt_key=env.bool("DERIVE_JWT_KEY", False),
        jwt_access_token_expires=env.int("JWT_ACCESS_TOKEN_EXPIRES", 900, validate=validate.Range(1, 2_678_400)),
        public_url=public_url,
        smtp_url=env.str("SMTP_URL", None, validate=_smtp_url) or None,
        mail_from=env.str("MAIL_FROM", None, validate=_mail_from) or None,
        mail_templates=env.str("MAIL_TEMPLATES", None, validate=_directory) or None,
        default_locale=env.str("DEFAULT_LOCALE", "en", validate=LOCALE),
        brand_color=env.str("BRAND_COLOR", None, validate=COLOR) or None,
        brand_logo=env.str("BRAND_LOGO", None, validate=_page) or None,
        return_url=env.str("RETURN_URL", None, validate=_page) or None,
        link_verify_email=env.str("LINK_VERIFY_EMAIL", None, validate=_link) or None,
        link_reset_password=env.str("LINK_RESET_PASSWORD", None, validate=_link) or None,
        link_change_email=env.str("LINK_CHANGE_EMAIL", None, validate=_link) or None,
        link_invitation=env.str("LINK_INVITATION", None, validate=_link) or None,
        link_enroll_passkey=env.str("LINK_ENROLL_PASSKEY", None, validate=_page) or None,
        link_manage_passkeys=env.str("LINK_MANAGE_PASSKEYS", None, validate=_page) or None,
        jwt_issuer=env.str("JWT_ISSUER", public_url or "pixora", validate=PRESENT),
        jwt_audience=env.str("JWT_AUDIENCE", "pixora", validate=PRESENT),
        token_claims=_token_claims(env.str("TOKEN_CLAIMS", "roles", validate=_token_claims)),
        service_keys=_service_keys(env.str("SERVICE_KEYS", None, validate=_service_keys)),
        refresh_grace_seconds=env.int("REFRESH_GRACE_SECONDS", 10, validate=validate.Range(0, 60)),
        refresh_idle_days=env.int("REFRESH_IDLE_DAYS", 14, validate=days),
        refresh_absolute_days=env.int("REFRESH_ABSOLUTE_DAYS", 90, validate=days),
        max_sessions_per_user=env.int("MAX_SESSIONS_PER_USER", 20, validate=validate.Range(1, 1000)),
        bcrypt_rounds=env.int("BCRYPT_ROUNDS", 12, validate=validate.Range(4 if relaxed else 10, 16)),
        hash_queue_seconds=env.float("HASH_QUEUE_SECONDS", 2.0, validate=validate.Range(0.1, 20)),
        password_min_length=env.int("PASSWORD_MIN_LENGTH", 12, validate=validate.Range(8, 72)),
        phone_default_region=env.str("PHONE_DEFAULT_REGION", None, validate=REGION) or None,
        required_fields=env.list("REQUIRED_FIELDS", PROFILE_FIELDS, subcast=_field),
        proxy_count=env.int("PROXY_COUNT", 0, validate=validate.Range(0, 10)),
        trusted_hosts=env.list("TRUSTED_HOSTS", None, subcast=_host) or None,
        cors_origins=env.list("CORS_ORIGINS", [], subcast=_origin),
        cors_allow_headers=env.list("CORS_ALLOW_HEADERS", [], subcast=_header_name),
        max_content_length=env.int("MAX_CONTENT_LENGTH", 16384, validate=validate.Range(1024, 2**20)),
        throttle_login_per_account_and_ip=limit("THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "10 per 15 minute"),
        throttle_login_per_account=limit("THROTTLE_LOGIN_PER_ACCOUNT", "100 per hour"),
        throttle_login_per_ip=limit("THROTTLE_LOGIN_PER_IP", "60 per 15 minute"),
        throttle_signup_per_ip=limit("THROTTLE_SIGNUP_PER_IP", "20 per hour"),
        throttle_mail_per_account=limit("THROTTLE_MAIL_PER_ACCOUNT", "5 per hour"),
        throttle_mail_per_ip=limit("THROTTLE_MAIL_PER_IP", "60 per hour"),
        throttle_password_change_per_account=limit("THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT", "5 per hour"),
        throttle_introspection_per_service=limit("THROTTLE_INTROSPECTION_PER_SERVICE", "6000 per minute"),
        throttle_service_key_per_ip=limit("THROTTLE_SERVICE_KEY_PER_IP", "10 per minute"),
        webauthn_rp_id=env.str("WEBAUTHN_RP_ID", urlsplit(public_url or "").hostname, validate=_rp_id) or None,
        webauthn_origins=[*pages, *map(_origin_of_app, android_apps)],
        webauthn_android_apps=android_apps,
        webauthn_apple_apps=env.list("WEBAUTHN_APPLE_APPS", [], subcast=_apple_app),
        throttle_second_factor_per_account_and_ip=limit("THROTTLE_SECOND_FACTOR_PER_ACCOUNT_AND_IP", "5 per 15 minute"),
        throttle_second_factor_per_account=limit("THROTTLE_SECOND_FACTOR_PER_ACCOUNT", "30 per day"),
        data_keys=env.list("DATA_KEYS", [], subcast=str.strip, validate=_data_keys),
        admin_second_factor=env.bool("ADMIN_SECOND_FACTOR", False),
        audit_days=env.int("AUDIT_DAYS", 365, validate=days),
        require_verified_email=env.bool("REQUIRE_VERIFIED_EMAIL", False),
        enumeration_safe=env.bool("ENUMERATION_SAFE", False),
        web_concurrency=env.int("WEB_CONCURRENCY", os.cpu_count() or 1, validate=validate.Range(1, 1024)),
        gunicorn_threads=env.int("GUNICORN_THREADS", 64, validate=validate.Range(1, 4096)),
    )


def _incomplete(settings: Settings) -> dict[str, list[str]]:
    """Return the faults of settings that need others."""
    faults: dict[str, list[str]] = {}
    rp_id = settings.webauthn_rp_id or ""
    hosts = ["localhost", *(urlsplit(origin).hostname for origin in settings.webauthn_origins)]
    if settings.webauthn_origins and not (_is_domain(rp_id) and ("." in rp_id or rp_id in hosts)):
        faults["WEBAUTHN_RP_ID"] = [
            "Must be a domain when there are passkeys, here or in PUBLIC_URL; without a dot, one of WEBAUTHN_ORIGINS."
        ]
    apple_origin = f"https://{settings.webauthn_rp_id}"
    if settings.webauthn_apple_apps and apple_origin not in settings.webauthn_origins:
        faults["WEBAUTHN_APPLE_APPS"] = [f"Needs {apple_origin} in WEBAUTHN_ORIGINS: it is the origin of these apps."]
    if settings.admin_second_factor and not (settings.data_keys or settings.webauthn_origins):
        faults["ADMIN_SECOND_FACTOR"] = ["Needs DATA_KEYS or WEBAUTHN_ORIGINS, for administrators to have one."]
    if settings.smtp_url and settings.pixora_env == "production":
        for name in ("PUBLIC_URL", "MAIL_FROM"):
            if not getattr(settings, name.lower()):
                faults[name] = ["Must be set when SMTP_URL is set: e-mails need it."]
    return faults


def _tracing(env: FileAwareEnv) -> bool:
    """Return whether to trace, by the standard variables of OpenTelemetry; its SDK reads the others itself."""
    if env.bool("OTEL_SDK_DISABLED", False) or env.str("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    collector = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", None, validate=_collector)
    if traces := env.str("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None, validate=_collector) or collector:
        env.str("OTEL_TRACES_EXPORTER", "otlp", validate=validate.OneOf(["otlp"]))
        env.str("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", validate=validate.OneOf(["http/protobuf"]))
    return bool(traces)


def load_or_exit() -> Settings:
    """Return the settings; on an error, print it without a traceback and exit with status 78."""
    try:
        return load()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(os.EX_CONFIG)


def mongod() -> str | None:
    """Return the path of the mongod for development and tests, if set."""
    return os.environ.get("PIXORA_MONGOD")


def _collector(value: str) -> None:
    """Check the URL of an OpenTelemetry collector, and that the packages for tracing are installed."""
    if not value:
        return
    if not all(find_spec(f"opentelemetry{name}") for name in TRACING_PACKAGES):
        raise ValidationError("Tracing needs more: pip install --require-hashes -r requirements-tracing.txt")
    with suppress(ValueError):
        if (parts := urlsplit(value)).scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    raise ValidationError("Must be as in http://collector.example.com:4318.")


def _mongo_uri(value: str) -> None:
    """Check that a client can be made of the URI, and that it names a database. Nothing is connected or looked up."""
    parts = urlsplit(value)
    if parts.scheme not in ("mongodb", "mongodb+srv") or not parts.netloc or not parts.path.strip("/"):
        raise ValidationError("Must name host and database, as in mongodb://host/pixora or mongodb+srv://host/pixora.")
    found: dict[str, Any] = {}
    try:
        with warnings.catch_warnings(action="ignore"):  # about unknown options
            found = parse_uri(value.replace("mongodb+srv://", "mongodb://", 1))
            client = MongoClient[Any](value, connect=False)
        name = client.get_default_database().name
    except OSError:
        raise ValidationError("Names a file that cannot be read.") from None
    except (PyMongoError, ValueError, TypeError, LookupError) as error:
        if found:
            raise ValidationError(f"Cannot be used: {error}.") from None
        raise ValidationError(  # the error may quote the password
            "Cannot be read. In user and password, all but letters and digits must be percent-encoded; ports must be "
            "numbers; and no option may contradict another."
        ) from None
    for host, _ in found["nodelist"]:
        _require_host(host)
    if found["collection"] or len(name.encode()) > 63 or not name.isprintable() or name == "local":
        raise ValidationError("Must name a database in 63 bytes at most, without a dot, and not local.")
    if client.read_concern.level not in (None, "local", "available", "majority"):
        raise ValidationError("Must have a readConcernLevel of local, available or majority, or none.")


def _require_host(name: str) -> None:
    """Check that a host is an IP address or a socket, or can be looked up."""
    with suppress(ValueError):
        if ipaddress.ip_address(name) if ":" in name else re.fullmatch(r"[\w.-]+|/.+\.sock", name):
            name.encode("idna")  # raises for an empty label, and for one of more than 63 bytes
            return
    raise ValidationError("Must have a host that can be looked up, each part of it with 63 bytes at most.")


def _strong_secret(value: str) -> None:
    """Check that a secret is long and hard to guess."""
    advice = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
    if len(value.encode()) < SECRET_BYTES:
        raise ValidationError(f"Must have at least {SECRET_BYTES} bytes. {advice}")
    if int(zxcvbn(value[:72]).score) < 4:
        raise ValidationError(f"Is too easy to guess. {advice}")


def _data_keys(values: list[str]) -> None:
    """Check the keys that encrypt the secrets of second factors: 32 bytes each in base64url, as Fernet has them."""
    if not all(map(DATA_KEY.fullmatch, values)):
        advice = 'python3 -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
        raise ValidationError(f"Must be keys of 32 bytes in base64url, separated by commas. Make one with: {advice}")
    if len(set(values)) != len(values):
        raise ValidationError("Must not have a key twice.")


def _directory(value: str) -> None:
    """Check that a directory exists."""
    if value and not Path(value).is_dir():
        raise ValidationError("Must be a directory.")


def _public_url(value: str) -> None:
    """Check the origin of this service."""
    with suppress(ValidationError):
        if not value or (_origin(value) and "*" not in value):
            return
    raise ValidationError("Must be as in https://auth.example.com, without a path or a slash at the end.")


def _smtp_url(value: str) -> None:
    """Check the URL of an SMTP server; a password needs TLS."""
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
    _require_host(parts.hostname or "")
    if options and (parts.scheme == "smtps" or options not in ({"starttls": "always"}, {"starttls": "never"})):
        raise ValidationError("May end with ?starttls=always or, unless it is smtps://, ?starttls=never; nothing else.")
    if (parts.username is None) != (parts.password is None) or not unquote(
        f"{parts.username}{parts.password}"
    ).isascii():
        raise ValidationError("Must have both user and password, in ASCII and percent-encoded, or neither.")
    if parts.username is not None and options.get("starttls") == "never" and not _is_loopback(parts.hostname or ""):
        raise ValidationError("Must not have ?starttls=never with a password: it would travel in clear.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _mail_from(value: str) -> None:
    """Check for one address, with or without a display name."""
    header: Any = HeaderRegistry()("From", value if value.isprintable() else "")
    try:
        [address] = [] if header.defects else header.addresses
        validate_email(address.addr_spec, check_deliverability=False, globally_deliverable=False)
    except ValueError:
        if value:
            raise ValidationError("Must be one address, as in Example <no-reply@example.com>.") from None


def _page(value: str) -> None:
    """Check for a URL that a browser opens: https, or http on loopback."""
    if not value:
        return
    try:
        parts = urlsplit(value)
        host, _ = _host_and_port(parts.netloc)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host.strip("[]")))
    except ValueError:
        is_safe, host = False, ""
    if not (is_safe and host) or "*" in host or not re.fullmatch(r"[\w.~:/?#\[\]@!$&()*+,;=%-]+", value, re.ASCII):
        raise ValidationError(
            "Must be as in https://app.example.com/signed-in, percent-encoded, and begin with https://."
        )


def _link(value: str) -> None:
    """Check for the URL of a page that takes a token: `{token}` stands for it, or it is added to the query."""
    _page(value.replace("{token}", "token", 1))
    parts = urlsplit(value)
    if "{token}" in parts.netloc:
        raise ValidationError("Has {token} in its host: it must be in the path, the query or the fragment.")
    if "{token}" not in value and "token" in dict(parse_qsl(parts.query, keep_blank_values=True)):
        raise ValidationError("Has a token of its own in the query, so {token} must say where the token goes.")
    if parts.fragment and "{token}" not in value:
        raise ValidationError("Has a fragment, so {token} must say where the token goes, as in /verify#token={token}.")


def _host(value: str) -> str:
    """Return a host in lower case, without its port."""
    name, _ = _host_and_port(value.strip())
    if not name:
        raise ValidationError(
            f"{value.strip()!r} is not a host, as in auth.example.com, or .example.com for it and all below it. "
            "To answer to any, leave this out."
        )
    return name


def _origin(value: str) -> str:
    """Return an origin as browsers send it: in lower case, without a default port."""
    scheme, _, rest = value.strip().lower().partition("://")
    name, port = _host_and_port(rest)
    if scheme not in DEFAULT_PORTS or not name or name.startswith("."):
        raise ValidationError(
            f"{value.strip()!r} is not an origin, as in https://app.example.com, or https://*.example.com for all "
            "below it; without a path or a slash at the end."
        )
    return f"{scheme}://{name}" + (f":{port}" if port not in (None, DEFAULT_PORTS[scheme]) else "")


def _webauthn_origin(value: str) -> str:
    """Return the origin of a page, as browsers send it, or of an Android app (`android:apk-key-hash:…`)."""
    if re.fullmatch("android:apk-key-hash:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", value.strip()):
        return value.strip()
    try:
        origin = _origin(value)
        host, _ = _host_and_port(origin.partition("://")[2])
    except ValidationError:
        origin = host = ""
    is_safe = origin.startswith("https://") or host == "localhost" or host.endswith(".localhost")
    if "*" in host or not _is_domain(host) or not is_safe:
        raise ValidationError(
            f"{value.strip()!r} is not an origin with passkeys, as in https://app.example.com, http://localhost:3000 "
            "or android:apk-key-hash:<SHA-256 in base64url>."
        )
    return origin


def _android_app(value: str) -> str:
    """Return the package of an Android app and the SHA-256 fingerprint of its certificate, with colons."""
    found = re.fullmatch(ANDROID_APP, value.strip(), re.ASCII)
    if not found:
        raise ValidationError(
            f"{value.strip()!r} is not an Android app, as in com.example.app:<SHA-256 fingerprint of its certificate>."
        )
    return f"{found[1]}:{bytes.fromhex(found[2].replace(':', '')).hex(':').upper()}"


def _origin_of_app(android_app: str) -> str:
    digest = bytes.fromhex(android_app.partition(":")[2].replace(":", ""))
    return "android:apk-key-hash:" + urlsafe_b64encode(digest).decode().rstrip("=")


def _rp_id(value: str) -> None:
    """Check for a domain in the form that browsers compare."""
    if value and not _is_domain(value):
        raise ValidationError("Must be a domain in lower case, as in example.com, without a port.")


def _is_domain(text: str) -> bool:
    """Tell whether a text is a domain: no IP address, which browsers refuse for passkeys, and no wildcard."""
    found = HOST.fullmatch(text)
    is_name = found is not None and found["name"] == text and text[0] not in "*.["
    return is_name and not re.search(r"(^|\.)([0-9]+|0x[0-9a-f]*)$", text)  # the end of an IP address


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Return the host in lower case, empty if invalid, and the port, if any."""
    found = HOST.fullmatch(text.lower()) if text.isascii() else None
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        return "", None
    try:
        name = f"[{ipaddress.IPv6Address(found['ipv6'])}]" if found["ipv6"] else found["name"]
    except ValueError:
        return "", None
    return name, int(found["port"]) if found["port"] else None


def _token_claims(value: str | None) -> list[str]:
    """Return what access tokens say of a user."""
    names = [name.strip() for name in (value or "").split(",") if name.strip()]
    for name in names:
        kind, _, claim = name.partition(".")
        if name not in ("roles", "email", "email_verified") and kind != "app_metadata":
            raise ValidationError(f"{name!r} is not roles, email, email_verified or app_metadata.<name>.")
        if kind == "app_metadata" and not re.fullmatch("[A-Za-z0-9_-]{1,64}", claim):
            raise ValidationError(f"{name!r} needs a name of letters, digits, _ and - after app_metadata.")
        if RESERVED_CLAIM.fullmatch(claim):
            raise ValidationError(f"{name!r} cannot be a claim: {claim} has another meaning in tokens.")
    if len(set(names)) < len(names):
        raise ValidationError("Names a claim twice.")
    return names


def _service_keys(value: str | None) -> list[tuple[str, str]]:
    """Return names and SHA-256 hashes of the keys of services; a name may have several, while its key is replaced."""
    pairs = [pair.strip() for pair in (value or "").split(",") if pair.strip()]
    if not all(re.fullmatch("[A-Za-z0-9._-]{1,64}:[0-9A-Fa-f]{64}", pair) for pair in pairs):  # not quoted: maybe a key
        raise ValidationError("Must be as in orders:<64 hexadecimal digits>, name and SHA-256 hash of each key.")
    return [(pair.partition(":")[0], pair.partition(":")[2].lower()) for pair in pairs]


def _limit(value: str) -> None:
    """Check for one limit in the notation of the library `limits`."""
    try:
        [one] = parse_many(value)
    except ValueError:
        raise ValidationError("Must be one limit, as in 10 per 15 minute.") from None
    has_zero = not all(map(int, re.findall(r"\d+", value)))  # parse_many takes 0 seconds for 1 second
    if has_zero or one.amount > 1_000_000 or one.get_expiry() > YEAR_SECONDS:
        raise ValidationError("Must be between 1 and 1000000, in a year at most.")


def _word(pattern: str, sentence: str) -> Callable[[str], str]:
    """Return what reads one value of a list: it must match the pattern, apart from white space around it."""
    check = validate.Regexp(rf"\s*(?:{pattern})\s*\Z", error=f"{{input!r}} is not {sentence}")
    return lambda value: check(value).strip()


_field = _word("|".join(PROFILE_FIELDS), f"one of {', '.join(PROFILE_FIELDS)}. E-mail is always required.")
_header_name = _word("[A-Za-z0-9_-]+", "the name of a header, as in X-Client-Version.")
_apple_app = _word(r"[A-Z0-9]{10}(\.[A-Za-z0-9-]+)+", "the id of an app, as in A1B2C3D4E5.com.example.app.")
