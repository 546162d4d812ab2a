"""Password hashes of other systems, which users are imported with: Argon2id, scrypt and PBKDF2-SHA256.

In the forms that PHC has specified, and passlib writes:

    $argon2id$v=19$m=65536,t=3,p=4$<salt>$<digest>
    $scrypt$ln=16,r=8,p=1$<salt>$<digest>
    $pbkdf2-sha256$i=600000,l=32$<salt>$<digest>      PHC
    $pbkdf2-sha256$600000$<salt>$<digest>             passlib, whose base64 has `.` in the place of `+`

Salt and digest are base64 without padding. We only check such hashes, and make none: who has logged in with one gets a
bcrypt hash. `cryptography` computes them, without the GIL; this module reads them, and refuses those that would cost
more than a login may. It knows no Flask, and nothing of ours.
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAX_MEMORY_KIB = 128 * 1024
"""For one check, of which there is one at once on each core. What libraries use by default, and what OWASP recommends,
is up to that; the 2 GiB of RFC 9106's first choice are not for a service that anyone may ask."""

MAX_ARGON2_WORK = 2**20
"""KiB times iterations: a second of a core, at a gibibyte a second."""

MAX_LANES = 16
"""Each may be a thread. It changes nothing in the sum of the work."""

MAX_SCRYPT_WORK = 3 * 2**20
"""N times r times p: also a second. OWASP's choices are a third of that."""

MAX_PBKDF2_WORK = 3_000_000
"""Iterations, for each 32 bytes of the digest: a third of a second where the processor has instructions for SHA-256,
a second where it has none. Django is at 1,200,000."""

MIN_SALT, MAX_SALT = 8, 64
"""Bytes. RFC 8018 and RFC 9106 ask for 8 at least; nobody takes more than 64."""

MIN_DIGEST, MAX_DIGEST = 16, 64
"""Bytes. A shorter one could be met by chance."""

SCHEMES = "argon2id", "scrypt", "pbkdf2-sha256"

_NUMBER = r"([1-9][0-9]{0,9})"
_PARAMETERS = {
    "argon2id": re.compile(rf"v=19\$m={_NUMBER},t={_NUMBER},p={_NUMBER}", re.ASCII),
    "scrypt": re.compile(rf"ln={_NUMBER},r={_NUMBER},p={_NUMBER}", re.ASCII),
    "pbkdf2-sha256": re.compile(rf"(?:i={_NUMBER},l={_NUMBER}|{_NUMBER})", re.ASCII),
}
# Without padding, and with zeros for the bits to spare: one spelling for each value, as PHC has it.
_DIGIT = "[A-Za-z0-9+/.]"
_BASE64 = f"((?:{_DIGIT}{{4}}){{0,24}}(?:{_DIGIT}[AQgw]|{_DIGIT}{{2}}[AEIMQUYcgkosw048])?)"
FORM = rf"\$({'|'.join(SCHEMES)})\$([a-z0-9=,$]{{1,64}})\${_BASE64}\${_BASE64}"
"""What a hash looks like, in the syntax of Python and of MongoDB. What remains to be read are the numbers, and how long
salt and digest are."""

_FORM = re.compile(FORM, re.ASCII)


class Derivation(Protocol):
    """What `cryptography` makes a digest with; good once."""

    def verify(self, key_material: bytes, expected_key: bytes) -> None:
        """Raise `InvalidKey` when the digest is another."""


Derivations = tuple[Callable[[], Derivation], Callable[[], Derivation]]
"""As it is, and in a single thread."""


class ForeignHash(NamedTuple):
    """A hash that can be checked, at a cost that we bear.

    Attributes:
        scheme: One of `SCHEMES`.
        kind: Scheme and parameters: what it costs to check, without what is secret.
        derive: Returns what makes the digest of a password, with the salt.
        derive_alone: Returns what does the same work in a single thread.
        digest: What it must be.

    """

    scheme: str
    kind: str
    derive: Callable[[], Derivation]
    derive_alone: Callable[[], Derivation]
    digest: bytes

    def matches(self, password: str) -> bool:
        """Tell whether this is the hash of a password. Takes up to `MAX_MEMORY_KIB`, and about a second, of a core."""
        try:
            self.derive().verify(password.encode(), self.digest)
        except InvalidKey:
            return False
        return True

    def rehearse(self) -> None:
        """Do the work of a check, all of it in this thread."""
        with contextlib.suppress(InvalidKey):
            self.derive_alone().verify(b"", self.digest)


def is_foreign(stored: str) -> bool:
    """Tell whether this claims to be a hash of one of `SCHEMES`."""
    return stored.startswith(tuple(f"${scheme}$" for scheme in SCHEMES))


def parse(stored: str) -> ForeignHash:
    """Read a hash; computes nothing.

    Raises:
        ValueError: it is not well formed, or costs too much; says which, and nothing of salt and digest.

    """
    form = _FORM.fullmatch(stored)
    parameters = form and _PARAMETERS[form[1]].fullmatch(form[2])
    if form is None or parameters is None:
        raise ValueError("not a well-formed hash of its kind")
    scheme = form[1]
    numbers = [int(number) for number in parameters.groups() if number is not None]
    texts = form[3], form[4]
    if scheme == "pbkdf2-sha256" and len(numbers) == 1:
        texts = form[3].replace(".", "+"), form[4].replace(".", "+")
    salt, digest = map(_decode, texts)
    _require(
        MIN_SALT <= len(salt) <= MAX_SALT and MIN_DIGEST <= len(digest) <= MAX_DIGEST,
        f"its salt must have {MIN_SALT} to {MAX_SALT} bytes, and its digest {MIN_DIGEST} to {MAX_DIGEST}",
    )
    read = {"argon2id": _argon2id, "scrypt": _scrypt, "pbkdf2-sha256": _pbkdf2}[scheme]
    return ForeignHash(scheme, f"{scheme} {form[2]}", *read(numbers, salt, len(digest)), digest)


def _argon2id(numbers: list[int], salt: bytes, length: int) -> Derivations:
    memory, iterations, lanes = numbers
    _require(memory <= MAX_MEMORY_KIB, "it takes too much memory to check")
    _require(memory * iterations <= MAX_ARGON2_WORK, "it takes too much time to check")
    _require(lanes <= MAX_LANES and memory >= 8 * lanes, "its lanes are too many")
    derive = partial(Argon2id, salt=salt, length=length, iterations=iterations, memory_cost=memory)
    return partial(derive, lanes=lanes), partial(derive, lanes=1)


def _scrypt(numbers: list[int], salt: bytes, length: int) -> Derivations:
    log_n, r, p = numbers
    _require(log_n <= 32, "it takes too much memory to check")  # before 2 is raised to it
    n = 2**log_n
    _require(r * max(n, p) // 8 <= MAX_MEMORY_KIB, "it takes too much memory to check")
    _require(n * r * p <= MAX_SCRYPT_WORK, "it takes too much time to check")
    _require(log_n < 16 * r, "its N is too large for its r")  # RFC 7914, section 6
    return (partial(Scrypt, salt=salt, length=length, n=n, r=r, p=p),) * 2


def _pbkdf2(numbers: list[int], salt: bytes, length: int) -> Derivations:
    iterations = numbers[0]
    _require(iterations * -(-length // SHA256.digest_size) <= MAX_PBKDF2_WORK, "it takes too much time to check")
    _require(numbers[1:] in ([], [length]), "its digest is not of the length that it says")
    return (partial(PBKDF2HMAC, algorithm=SHA256(), length=length, salt=salt, iterations=iterations),) * 2


def _require(fulfilled: bool, otherwise: str) -> None:  # noqa: FBT001
    if not fulfilled:
        raise ValueError(otherwise)


def _decode(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("its salt or digest is not base64") from error
    # PHC: one spelling for each value.
    _require(base64.b64encode(decoded).rstrip(b"=") == text.encode(), "its salt or digest is not base64")
    return decoded
