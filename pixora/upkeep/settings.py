"""The doctor's checks of the settings, without any connection."""

import ipaddress
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from config import Settings
from pixora.mail.smtp import is_loopback
from pixora.services import Services
from pixora.tokens.keys import KeyFault
from pixora.upkeep.findings import Finding, fault, ok, warning
from pixora.web.hosts import is_trusted

SECRET_BYTES = 32
MAKE_ONE = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
"""As in `config.py`, which this package does not import."""

LEAST_FREE_BYTES = 50 * 2**20
WEAK = {"w": ("0", "1"), "journal": ("false",), "j": ("false",)}
UNCHECKED = ("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames")


def environment(settings: Settings) -> Iterator[Finding]:
    """Check PIXORA_ENV, and that PUBLIC_URL is encrypted and served."""
    name = settings.pixora_env
    if name == "production":
        yield ok("PIXORA_ENV is production.")
    else:
        yield warning(f"PIXORA_ENV is {name}, which accepts weak settings.", "Use production for a public service.")
    url = urlsplit(settings.public_url or "")
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield warning("PUBLIC_URL is not https: passwords and tokens travel unencrypted.", "Use https://.")
    hosts = settings.trusted_hosts
    if hosts and url.netloc and not is_trusted(url.netloc, hosts):
        yield fault(
            f"TRUSTED_HOSTS does not list {url.hostname}, the host of PUBLIC_URL: every client gets status 400.",
            f"Add {url.hostname} to TRUSTED_HOSTS.",
        )


def secrets(settings: Settings) -> Iterator[Finding]:
    """Check that the secrets are long. Production does not start with weak ones; other environments do."""
    given = {
        name: value
        for name, value in (("SECRET_KEY", settings.secret_key), ("JWT_SECRET_KEY", settings.jwt_secret_key))
        if value
    }
    short = [name for name, secret in given.items() if len(secret.encode()) < SECRET_BYTES]
    for name in short:
        yield fault(f"{name} has fewer than {SECRET_BYTES} bytes: it can be guessed.", MAKE_ONE)
    if not short and settings.pixora_env == "production":
        yield ok("The secrets are long and hard to guess.")
    elif not short:
        yield ok("The secrets are long. Whether they are easy to guess is checked in production only.")


def uri(settings: Settings) -> Iterator[Finding]:
    """Check that MONGO_URI uses TLS. PyMongo would resolve mongodb+srv:// by DNS, and `urlsplit` knows no lists."""
    scheme, _, rest = settings.mongo_uri.partition("://")
    credentials, _, addresses = rest.partition("?")[0].partition("/")[0].rpartition("@")
    options = _options(settings)
    hosts = [_host(address) for address in addresses.split(",")]
    has_tls = options.get("tls", options.get("ssl", str(scheme == "mongodb+srv"))).lower() == "true"
    is_private = all(map(_is_private, hosts))
    if all(map(_is_local, hosts)):
        yield ok("MONGO_URI names this machine.")
    elif not has_tls:
        password = " and a login that can be replayed" if credentials else ""
        message = f"MONGO_URI does not use TLS: users' data{password} travel unencrypted."
        advice = "Add tls=true to its options."
        if credentials and not is_private:
            yield fault(message, advice)
        else:
            yield warning(message, f"{advice} Without it, keep that network closed to others.")
    elif unchecked := [name for name in UNCHECKED if options.get(name, "").lower() == "true"]:
        yield fault(
            f"MONGO_URI has {' and '.join(unchecked)}: anyone on the network path can impersonate the database.",
            "Remove it. For a private certificate authority use tlsCAFile.",
        )
    else:
        yield ok("MONGO_URI uses TLS.")


def write_concern(settings: Settings) -> Iterator[Finding]:
    """Check the write concern in MONGO_URI."""
    options = _options(settings)
    weak = [f"{name}={options[name]}" for name, values in WEAK.items() if options.get(name, "").lower() in values]
    if weak:
        yield fault(
            f"MONGO_URI has {' and '.join(weak)}. Pixora writes with w=majority regardless, but other programs that "
            "use this URI may lose acknowledged writes.",
            "Remove it, or use w=majority.",
        )
    else:
        yield ok("Writes wait for a majority of the members.")
    if options.get("retrywrites", "").lower() == "false":
        yield warning("MONGO_URI has retryWrites=false: requests fail at each election.", "Remove it.")


def signing_key(services: Services) -> Iterator[Finding]:
    """Check that there is a signing key and that only its owner can read it."""
    key_dir = services.settings.jwt_key_dir
    if not key_dir:
        yield ok("Access tokens are signed with JWT_SECRET_KEY.")
        return
    try:
        yield ok(f"{services.tokens.ring().signing.kid} signs the access tokens.")
    except KeyFault as error:
        yield fault(str(error), "flask --app wsgi keys generate")
    directory = Path(key_dir)
    if directory.stat().st_mode & stat.S_IWOTH:
        yield fault("Every user of this machine can add keys to JWT_KEY_DIR.", "chmod o-w on the directory.")
    for path in sorted(directory.glob("*.pem")):
        if b"PRIVATE KEY" in path.read_bytes() and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield fault(f"Every user of this machine can read the private key {path.stem}.", f"chmod 600 {path.name}")
    if shutil.disk_usage(directory).free < LEAST_FREE_BYTES:
        yield warning("The disk of JWT_KEY_DIR is full: no key can be generated.", "Free some space.")


def _options(settings: Settings) -> dict[str, str]:
    return {name.lower(): value for name, value in parse_qsl(settings.mongo_uri.partition("?")[2])}


def _host(address: str) -> str:
    return address[1:].partition("]")[0] if address.startswith("[") else address.rsplit(":", 1)[0]


def _is_local(host: str) -> bool:
    return is_loopback(host) or host.lower().endswith(".sock")


def _is_private(host: str) -> bool:
    """Tell whether a host looks like one in a private network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host
