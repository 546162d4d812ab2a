"""The keys that sign and verify access tokens.

Either one secret (HS256), for a service that verifies its tokens alone; or a directory of PEM files, `<kid>.pem`, whose
key type decides the algorithm: P-256 is ES256, RSA is RS256, Ed25519 is EdDSA (RFC 7518, RFC 8037). The last private
key by name signs and every key verifies, so keys rotate without ending sessions. Other services verify tokens offline
with the public keys from `/.well-known/jwks.json`.
"""

import hmac
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

log = logging.getLogger(__name__)

CHECK_SECONDS = 2
"""How often, at most, a worker looks for changed key files."""

MIN_RSA_BITS = 2048
"""RFC 7518, section 3.3."""

ALGORITHMS = get_default_algorithms()
"""PyJWT's, by name."""

KID = re.compile(r"[A-Za-z0-9._-]{1,64}")

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
Snapshot = tuple[tuple[str, int, int, int], ...]


class KeyFault(Exception):
    """A key cannot be used, or no key can sign. The message says which and why."""


class Key(NamedTuple):
    """A key, its name and its one algorithm. `private` is None for a key that only verifies."""

    kid: str
    algorithm: str
    private: PrivateKey | str | None
    public: PublicKey | str

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature of a message is of this key."""
        public: Any = self.public.encode() if isinstance(self.public, str) else self.public
        return ALGORITHMS[self.algorithm].verify(message, public, signature)


class KeyRing:
    """An immutable set of keys."""

    def __init__(self, keys: list[Key]) -> None:
        self._keys = {key.kid: key for key in keys}
        self._signing = next((key for key in reversed(list(self)) if key.private is not None), None)

    @property
    def signing(self) -> Key:
        """The key that signs; raises `KeyFault` if there is none, for example in an empty directory."""
        if self._signing is None:
            raise KeyFault("There is no private key to sign with. Make one: flask --app wsgi keys generate")
        return self._signing

    def get(self, kid: object) -> Key | None:
        """Return the key of this name; `kid` may be anything a token claims."""
        return self._keys.get(kid) if isinstance(kid, str) else None

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys in the order of their names."""
        return iter(sorted(self._keys.values(), key=lambda key: key.kid))

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public keys, without a secret, as a JWK Set (RFC 7517)."""
        return {
            "keys": [
                ALGORITHMS[key.algorithm].to_jwk(key.public, as_dict=True)
                | {"kid": key.kid, "use": "sig", "alg": key.algorithm}
                for key in self
                if not isinstance(key.public, str)
            ]
        }


class Keys:
    """The current keys, reloaded when their files change.

    Args:
        load: Returns the keys, given the previous ones; logs those it cannot use.
        snapshot: Returns a value that changes when the files do.

    """

    def __init__(self, load: Callable[[KeyRing | None], KeyRing], snapshot: Callable[[], Snapshot]) -> None:
        self._load = load
        self._snapshot = snapshot
        self._seen = snapshot()
        self._ring = load(None)
        self._next_look = time.monotonic() + CHECK_SECONDS
        self._looking = threading.Lock()

    def current(self) -> KeyRing:
        """Return the current keys; check the files at most every `CHECK_SECONDS`."""
        if time.monotonic() >= self._next_look and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next_look = time.monotonic() + CHECK_SECONDS
                self._looking.release()
        return self._ring

    def _look(self) -> None:
        try:
            found = self._snapshot()
            if found != self._seen:
                self._seen = found
                self._ring = self._load(self._ring)
                names = [key.kid for key in self._ring]
                log.warning("The keys have changed.", extra={"event": "keys_changed", "keys": names})
        except (KeyFault, OSError) as error:
            log.error("The keys stay as they were: %s", error, extra={"event": "keys_failed"})


def of_secret(secret: str) -> Keys:
    """Return the keys for one secret. The key's name reveals nothing about it."""
    kid = hmac.digest(secret.encode(), b"kid", "sha256").hex()[:16]
    ring = KeyRing([Key(kid, "HS256", secret, secret)])
    return Keys(lambda known: ring, tuple)


def of_directory(directory: Path) -> Keys:
    """Return the keys in a directory; raise `KeyFault` if one cannot be used."""
    return Keys(lambda known: _load_directory(directory, known), lambda: _snapshot(directory))


def read_key(path: Path) -> Key:
    """Read a private or public key from `<kid>.pem`, unencrypted.

    Raises:
        KeyFault: The file is not a key that can sign or verify.

    """
    if not KID.fullmatch(path.stem):
        raise KeyFault(f"{path.name} is not the name of a key: only letters, digits, '.', '_' and '-', 64 at most.")
    try:
        data = path.read_bytes()
        if b"PRIVATE KEY" in data:
            private = serialization.load_pem_private_key(data, None)
            return Key(path.stem, _algorithm(private.public_key(), path), private, private.public_key())  # type: ignore[arg-type]
        public = serialization.load_pem_public_key(data)
        return Key(path.stem, _algorithm(public, path), None, public)  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The error message may quote the file.
        raise KeyFault(f"{path.name} is not an unencrypted PEM file of a key ({type(error).__name__}).") from None


def _algorithm(public: object, path: Path) -> str:
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "EdDSA"
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        return "ES256"
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= MIN_RSA_BITS:
        return "RS256"
    raise KeyFault(
        f"{path.name} is a key of a kind we do not use: only P-256, Ed25519, and RSA of {MIN_RSA_BITS} bits."
    )


def _load_directory(directory: Path, known: KeyRing | None) -> KeyRing:
    keys = []
    for path in sorted(directory.glob("*.pem")):
        try:
            keys.append(read_key(path))
        except KeyFault as fault:
            if known is None:
                raise
            # The file may be half written. A running service keeps its keys.
            log.error("A key file is ignored: %s", fault, extra={"event": "key_ignored"})
            if old := known.get(path.stem):
                keys.append(old)
    ring = KeyRing(keys)
    if known is not None:
        _ = ring.signing  # raises for a directory that was emptied or unmounted: the service keeps its keys
    return ring


def _snapshot(directory: Path) -> Snapshot:
    return tuple(_state(path) for path in sorted(directory.glob("*.pem")))


def _state(path: Path) -> tuple[str, int, int, int]:
    try:
        stat = path.stat()
    except OSError:  # a link to nowhere: `read_key` says so
        return path.name, 0, 0, 0
    return path.name, stat.st_ino, stat.st_mtime_ns, stat.st_size
