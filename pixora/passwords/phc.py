"""Hashes of imported users: Argon2id, scrypt and PBKDF2, as PHC strings or in passlib's form.

    $argon2id$v=19$m=65536,t=3,p=4$<salt>$<digest>
    $scrypt$ln=16,r=8,p=1$<salt>$<digest>
    $pbkdf2-sha256$i=600000,l=32$<salt>$<digest>      PHC
    $pbkdf2-sha256$600000$<salt>$<digest>             passlib, whose base64 has `.` instead of `+`
    $pbkdf2-sha512$…                                  both forms of PBKDF2 with SHA-512

Salt and digest are base64 without padding. `pixora.passwords.verify` checks such a hash, and login replaces it with a
bcrypt hash. This module parses them and refuses those that cost more than a login may. `cryptography` computes them,
without the GIL. passlib and argon2-cffi compute with whatever parameters the hash names.
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAX_MEMORY_KIB = 128 * 1024
"""For one check; each core computes one at a time. The defaults of libraries and OWASP's recommendations stay below.
The 2 GiB of RFC 9106's first choice are too much for a public service."""

MAX_ARGON2_WORK = 2**20
"""KiB times iterations: a second of a core that fills a gibibyte in a second."""

MAX_LANES = 16
"""Each may be a thread; the total work stays the same."""

MAX_SCRYPT_WORK = 3 * 2**20
"""N times r times p: a second of a core. OWASP recommends a third of that."""

MAX_PBKDF2_WORK = 3_000_000
"""Iterations for each 32 bytes of the digest: a third of a second on processors with SHA-256 instructions, a second on
others. Django uses 1,200,000."""

SHA512_WORK = 3
"""The work of an iteration with SHA-512, for which few processors have instructions. Keycloak uses 210,000."""

MIN_SALT, MAX_SALT = 8, 64
"""Bytes. RFC 8018 and RFC 9106 require 8; no known system uses more than 64."""

MIN_DIGEST, MAX_DIGEST = 16, 64
"""Bytes. A wrong password could match a shorter one by chance."""

SCHEMES = "argon2id", "scrypt", "pbkdf2-sha256", "pbkdf2-sha512"

_NUMBER = r"([1-9][0-9]{0,9})"
_PBKDF2 = rf"(?:i={_NUMBER},l={_NUMBER}|{_NUMBER})"
_PARAMETERS = {
    "argon2id": re.compile(rf"v=19\$m={_NUMBER},t={_NUMBER},p={_NUMBER}", re.ASCII),
    "scrypt": re.compile(rf"ln={_NUMBER},r={_NUMBER},p={_NUMBER}", re.ASCII),
    "pbkdf2-sha256": re.compile(_PBKDF2, re.ASCII),
    "pbkdf2-sha512": re.compile(_PBKDF2, re.ASCII),
}
# Without padding and with zeros in the unused bits, so each value has one spelling, as PHC requires.
_DIGIT = "[A-Za-z0-9+/.]"
_BASE64 = f"((?:{_DIGIT}{{4}}){{0,24}}(?:{_DIGIT}[AQgw]|{_DIGIT}{{2}}[AEIMQUYcgkosw048])?)"
FORM = rf"\$({'|'.join(SCHEMES)})\$([a-z0-9=,$]{{1,64}})\${_BASE64}\${_BASE64}"
"""The form of a hash, in the regular expressions of Python and of MongoDB. It does not check the numbers, nor the
lengths of salt and digest."""

_FORM = re.compile(FORM, re.ASCII)


class Derivation(Protocol):
    """A key derivation function of `cryptography`, which can be used once."""

    def verify(self, key_material: bytes, expected_key: bytes) -> None:
        """Derive a key; raise `InvalidKey` if it is not the expected one."""


Derivations = tuple[Callable[[], Derivation], Callable[[], Derivation]]
"""`PhcHash.derive` and `PhcHash.derive_in_one_thread`."""


class PhcHash(NamedTuple):
    """A hash whose cost is within the limits."""

    scheme: str  # one of `SCHEMES`
    kind: str  # scheme and parameters, which decide the cost and are not secret
    derive: Callable[[], Derivation]  # returns the key derivation function, with salt and parameters
    derive_in_one_thread: Callable[[], Derivation]  # the same work with one lane
    digest: bytes  # the expected result

    def matches(self, password: str) -> bool:
        """Return whether this is the hash of a password, after up to a second of CPU and `MAX_MEMORY_KIB`."""
        try:
            self.derive().verify(password.encode(), self.digest)
        except InvalidKey:
            return False
        return True

    def compute(self) -> None:
        """Do the work of a check in this thread alone, to measure it."""
        with contextlib.suppress(InvalidKey):
            self.derive_in_one_thread().verify(b"", self.digest)


def is_phc(stored: str) -> bool:
    """Return whether a stored hash claims to be of one of `SCHEMES`."""
    return stored.startswith(tuple(f"${scheme}$" for scheme in SCHEMES))


def parse(stored: str) -> PhcHash:
    """Parse a hash without computing anything.

    Raises:
        ValueError: The hash is malformed or costs too much. The message says why, and nothing about salt and digest.

    """
    form = _FORM.fullmatch(stored)
    parameters = form and _PARAMETERS[form[1]].fullmatch(form[2])
    if form is None or parameters is None:
        raise ValueError("not a well-formed hash of its kind")
    scheme = form[1]
    numbers = [int(number) for number in parameters.groups() if number is not None]
    texts = form[3], form[4]
    if len(numbers) == 1:  # passlib
        texts = form[3].replace(".", "+"), form[4].replace(".", "+")
    salt, digest = map(_decode, texts)
    _require(
        MIN_SALT <= len(salt) <= MAX_SALT and MIN_DIGEST <= len(digest) <= MAX_DIGEST,
        f"its salt must have {MIN_SALT} to {MAX_SALT} bytes, and its digest {MIN_DIGEST} to {MAX_DIGEST}",
    )
    readers: dict[str, Callable[[list[int], bytes, int], Derivations]] = {
        "argon2id": _argon2id,
        "scrypt": _scrypt,
        "pbkdf2-sha256": partial(_pbkdf2, SHA256(), 1),
        "pbkdf2-sha512": partial(_pbkdf2, SHA512(), SHA512_WORK),
    }
    return PhcHash(scheme, f"{scheme} {form[2]}", *readers[scheme](numbers, salt, len(digest)), digest)


def _argon2id(numbers: list[int], salt: bytes, length: int) -> Derivations:
    memory, iterations, lanes = numbers
    _require(memory <= MAX_MEMORY_KIB, "it takes too much memory to check")
    _require(memory * iterations <= MAX_ARGON2_WORK, "it takes too much time to check")
    _require(lanes <= MAX_LANES and memory >= 8 * lanes, "it has too many lanes")
    derive = partial(Argon2id, salt=salt, length=length, iterations=iterations, memory_cost=memory)
    return partial(derive, lanes=lanes), partial(derive, lanes=1)


def _scrypt(numbers: list[int], salt: bytes, length: int) -> Derivations:
    log_n, r, p = numbers
    _require(log_n <= 32, "it takes too much memory to check")  # before computing 2**log_n
    n = 2**log_n
    _require(r * max(n, p) // 8 <= MAX_MEMORY_KIB, "it takes too much memory to check")
    _require(n * r * p <= MAX_SCRYPT_WORK, "it takes too much time to check")
    _require(log_n < 16 * r, "its N is too large for its r")  # RFC 7914, section 6
    return (partial(Scrypt, salt=salt, length=length, n=n, r=r, p=p),) * 2


def _pbkdf2(algorithm: SHA256 | SHA512, work: int, numbers: list[int], salt: bytes, length: int) -> Derivations:
    iterations = numbers[0]
    blocks = -(-length // algorithm.digest_size)
    _require(iterations * blocks * work <= MAX_PBKDF2_WORK, "it takes too much time to check")
    _require(numbers[1:] in ([], [length]), "its digest does not have the length it names")
    return (partial(PBKDF2HMAC, algorithm=algorithm, length=length, salt=salt, iterations=iterations),) * 2


def _require(condition: bool, message: str) -> None:  # noqa: FBT001
    if not condition:
        raise ValueError(message)


def _decode(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("its salt or digest is not base64") from error
    # Each value has one spelling in PHC strings.
    _require(base64.b64encode(decoded).rstrip(b"=") == text.encode(), "its salt or digest is not base64")
    return decoded
