"""What the value of a setting must look like: each function refuses what could start and then fail.

Beside `config`, which alone reads the environment. Some return the value in the form in which it is used.
"""

import ipaddress
import re
import warnings
from collections.abc import Callable
from email.headerregistry import HeaderRegistry
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from email_validator import validate_email
from limits import parse_many
from marshmallow import ValidationError
from phonenumbers import SUPPORTED_REGIONS
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri
from zxcvbn_rs_py import zxcvbn

SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key has at least the 256 bits of the hash."""

TRACING_PACKAGES = ("", ".sdk", ".exporter", ".instrumentation", ".instrumentation.flask", ".instrumentation.pymongo")
"""Those of OpenTelemetry; a package comes before what is in it."""

YEAR_SECONDS = 366 * 24 * 3600
DEFAULT_PORTS = {"http": 80, "https": 443}

LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
BELOW = r"\*?\.(?=[^:]+\.|localhost\b)(?![^:]*\.[0-9]+(?::|$))"
HOST = re.compile(rf"(?P<name>\[(?P<ipv6>[^]]+)\]|(?:{BELOW})?{LABEL}(?:\.{LABEL})*)(?::(?P<port>[0-9]{{1,5}}))?")
"""A dot in front of a name stands for it and all below it, ``*.`` for all below it; but not for a whole ``com``."""


def collector(value: str) -> None:
    """An endpoint of OpenTelemetry, and the packages that it needs."""
    if not value:
        return
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValidationError("Must be as in http://collector.example.com:4318.")
    if not all(find_spec(f"opentelemetry{name}") for name in TRACING_PACKAGES):
        raise ValidationError("Tracing needs more: pip install --require-hashes -r requirements-tracing.txt")


def present(value: str) -> None:
    """Anything."""
    if not value:
        raise ValidationError("Must not be empty.")


def mongo_uri(value: str) -> None:
    """A URI that PyMongo can read, with a database."""
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


def strong_secret(value: str) -> None:
    """A secret that is long and hard to guess."""
    advice = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
    if len(value.encode()) < SECRET_BYTES:
        raise ValidationError(f"Must have at least {SECRET_BYTES} bytes. {advice}")
    if int(zxcvbn(value[:72]).score) < 4:
        raise ValidationError(f"Is too easy to guess. {advice}")


def directory(value: str) -> None:
    """A directory that is there."""
    if value and not Path(value).is_dir():
        raise ValidationError("Must be a directory.")


def public_url(value: str) -> None:
    """The origin of this service."""
    if not value:
        return
    try:
        is_origin = bool(origin(value)) and "*" not in value
    except ValidationError:
        is_origin = False
    if not is_origin:
        raise ValidationError("Must be as in https://auth.example.com, without a path or a slash at the end.")


def smtp_url(value: str) -> None:
    """A server to send e-mail by, with TLS before a password."""
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


def mail_from(value: str) -> None:
    """One address, with or without a name."""
    header: Any = HeaderRegistry()("From", value if value.isprintable() else "")
    try:
        [address] = [] if header.defects else header.addresses
        validate_email(address.addr_spec, check_deliverability=False, globally_deliverable=False)
    except ValueError:
        if value:
            raise ValidationError("Must be one address, as in Example <no-reply@example.com>.") from None


def region(value: str) -> None:
    """A country that phonenumbers knows."""
    if value and value not in SUPPORTED_REGIONS:
        raise ValidationError("Must be a two-letter country code in capitals, as in GB.")


def host(value: str) -> str:
    """Return a host as it is compared: in lower case and without its port."""
    name, _ = _host_and_port(value.strip())
    if not name:
        raise ValidationError(
            f"{value.strip()!r} is not a host, as in auth.example.com, or .example.com for it and all below it. "
            "To answer to any, leave this out."
        )
    return name


def origin(value: str) -> str:
    """Return an origin as browsers send it: in lower case, and without the port where that is the usual one."""
    scheme, _, rest = value.strip().lower().partition("://")
    name, port = _host_and_port(rest)
    if scheme not in DEFAULT_PORTS or not name or name.startswith("."):
        raise ValidationError(
            f"{value.strip()!r} is not an origin, as in https://app.example.com, or https://*.example.com for all "
            "below it; without a path or a slash at the end."
        )
    return f"{scheme}://{name}" + (f":{port}" if port not in (None, DEFAULT_PORTS[scheme]) else "")


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Return a host in lower case, empty where it is none, and its port, where it has one."""
    found = HOST.fullmatch(text.lower()) if text.isascii() else None
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        return "", None
    try:
        name = f"[{ipaddress.IPv6Address(found['ipv6'])}]" if found["ipv6"] else found["name"]
    except ValueError:
        return "", None
    return name, int(found["port"]) if found["port"] else None


def header_name(value: str) -> str:
    """Return the name of a header."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value.strip()):
        raise ValidationError(f"{value.strip()!r} is not the name of a header, as in X-Client-Version.")
    return value.strip()


def each(read: Callable[[str], str], values: list[str] | None) -> list[str]:
    """Return the values in the form in which they are used; none where `values` is None."""
    return list(map(read, values or []))


def all_are(read: Callable[[str], str]) -> Callable[[list[str]], None]:
    """Return what refuses a list with a value that `read` refuses: environs keeps the words of no other."""

    def check(values: list[str]) -> None:
        each(read, values)

    return check


def limit(value: str) -> None:
    """One limit, as the library of this name writes it."""
    try:
        [one] = parse_many(value)
    except ValueError:
        raise ValidationError("Must be one limit, as in 10 per 15 minute.") from None
    if not (1 <= one.amount <= 1_000_000 and one.get_expiry() <= YEAR_SECONDS):
        raise ValidationError("Must be between 1 and 1000000, in a year at most.")
