"""The doctor's look at the settings: what they name, and what they let happen. Asks nobody."""

import ipaddress
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from config import Settings
from pixora.mail.smtp import is_loopback
from pixora.services import services
from pixora.tokens.keys import KeyFault
from pixora.upkeep.findings import Finding, fault, ok, warning
from pixora.web.hosts import is_trusted

SECRET_BYTES = 32
MAKE_ONE = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
"""As `config.py` has it, which this package does not import."""

LEAST_FREE_BYTES = 50 * 2**20
WEAK = {"w": ("0", "1"), "journal": ("false",), "j": ("false",)}
UNCHECKED = ("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames")


def environment(settings: Settings) -> Iterator[Finding]:
    """Look at what kind of service this is meant to be."""
    name = settings.pixora_env
    if name == "production":
        yield ok("PIXORA_ENV is production.")
    else:
        yield warning(f"PIXORA_ENV is {name}, which lets weak settings pass.", "Serve strangers with production only.")
    url = urlsplit(settings.public_url or "")
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield warning("PUBLIC_URL has no TLS: passwords and tokens travel in the clear.", "Use https://.")
    hosts = settings.trusted_hosts
    if hosts and url.netloc and not is_trusted(url.netloc, hosts):
        yield fault(
            f"TRUSTED_HOSTS does not list {url.hostname}, the host of PUBLIC_URL: every client gets 400.",
            f"Add {url.hostname} to TRUSTED_HOSTS.",
        )


def secrets(settings: Settings) -> Iterator[Finding]:
    """Look at how long the secrets are. Production does not even start with weak ones; elsewhere they are let pass."""
    given = {
        name: value
        for name, value in (("SECRET_KEY", settings.secret_key), ("JWT_SECRET_KEY", settings.jwt_secret_key))
        if value
    }
    short = [name for name, secret in given.items() if len(secret.encode()) < SECRET_BYTES]
    for name in short:
        yield fault(f"{name} has less than {SECRET_BYTES} bytes: it can be guessed.", MAKE_ONE)
    if not short and settings.pixora_env == "production":
        yield ok("The secrets are long and hard to guess.")
    elif not short:
        yield ok("The secrets are long. How hard they are to guess is only looked at in production.")


def uri(settings: Settings) -> Iterator[Finding]:
    """Look at how MONGO_URI has us connect. Read by hand: PyMongo would ask the DNS about mongodb+srv://."""
    parts = urlsplit(settings.mongo_uri)
    options = _options(settings)
    credentials, _, addresses = parts.netloc.rpartition("@")
    hosts = [_host(address) for address in addresses.split(",")]
    has_tls = options.get("tls", options.get("ssl", str(parts.scheme == "mongodb+srv"))).lower() == "true"
    is_private = all(map(_is_private, hosts))
    if all(map(_is_local, hosts)):
        yield ok("MONGO_URI leads to this machine.")
    elif not has_tls:
        told = "MONGO_URI does not ask for TLS: users' data travels in the clear"
        told += ", and so does what is needed to log in as we do." if credentials else "."
        advice = "Add tls=true to its options."
        if credentials and not is_private:
            yield fault(told, advice)
        else:
            yield warning(told, f"{advice} Without, let nobody else into that network.")
    elif unchecked := [name for name in UNCHECKED if options.get(name, "").lower() == "true"]:
        yield fault(
            f"MONGO_URI has {' and '.join(unchecked)}: whoever is in between can pretend to be the database.",
            "Remove it; tlsCAFile names an authority of your own.",
        )
    else:
        yield ok("MONGO_URI asks for TLS.")


def write_concern(settings: Settings) -> Iterator[Finding]:
    """Look at what MONGO_URI says about when a write is done."""
    options = _options(settings)
    weak = [f"{name}={options[name]}" for name, values in WEAK.items() if options.get(name, "").lower() in values]
    if weak:
        yield fault(
            f"MONGO_URI says {' and '.join(weak)}. Pixora insists on w=majority all the same, but whatever else uses "
            "this URI may lose writes that were acknowledged.",
            "Remove it, or say w=majority.",
        )
    else:
        yield ok("Writes wait for the majority.")
    if options.get("retrywrites", "").lower() == "false":
        yield warning("MONGO_URI says retryWrites=false: each election costs some requests.", "Remove it.")


def signing_key(settings: Settings) -> Iterator[Finding]:
    """Look for a key to sign with, and at who may read it."""
    if not settings.jwt_key_dir:
        yield ok("Access tokens are signed with JWT_SECRET_KEY.")
        return
    try:
        yield ok(f"{services.tokens.ring().signing.kid} signs the access tokens.")
    except KeyFault as error:
        yield fault(str(error), "flask --app wsgi keys generate")
    directory = Path(settings.jwt_key_dir)
    if directory.stat().st_mode & stat.S_IWOTH:
        yield fault("Everybody may write into JWT_KEY_DIR, and so make keys.", "chmod o-w on the directory.")
    for path in sorted(directory.glob("*.pem")):
        if b"PRIVATE KEY" in path.read_bytes() and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield fault(f"Everybody on this machine may read the private key {path.stem}.", f"chmod 600 {path.name}")
    if shutil.disk_usage(directory).free < LEAST_FREE_BYTES:
        yield warning("The disk of JWT_KEY_DIR is full: no key can be made.", "Make room.")


def _options(settings: Settings) -> dict[str, str]:
    return {name.lower(): value for name, value in parse_qsl(urlsplit(settings.mongo_uri).query)}


def _host(address: str) -> str:
    return address[1:].partition("]")[0] if address.startswith("[") else address.rsplit(":", 1)[0]


def _is_local(host: str) -> bool:
    return is_loopback(host) or host.lower().endswith(".sock")


def _is_private(host: str) -> bool:
    """Tell whether a host is in a network of its own, as far as its name shows."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host
