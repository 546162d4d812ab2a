"""What clients send for a passkey, and the data in it."""

from typing import NamedTuple


class Refused(Exception):
    """A credential is malformed or wrong. The message is for the log, and names no credential."""


class Attestation(NamedTuple):
    """What a client sends to register a passkey."""

    credential_id: bytes
    client_data: bytes
    attestation_object: bytes
    transports: list[str]


class Assertion(NamedTuple):
    """What a client sends to log in."""

    credential_id: bytes
    client_data: bytes
    authenticator_data: bytes
    signature: bytes
    user_handle: bytes | None


class NewCredential(NamedTuple):
    """A verified credential, to be stored."""

    public_key: bytes
    sign_count: int
    backup_eligible: bool
    backed_up: bool
    aaguid: str


class SignedData(NamedTuple):
    """What an authenticator says with a signature; nobody has verified it yet."""

    message: bytes
    sign_count: int
    backup_eligible: bool
    backed_up: bool
