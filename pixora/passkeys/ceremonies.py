"""The checks of WebAuthn, level 3: sections 7.1 (registration) and 7.2 (authentication).

`fido2` parses what authenticators send and verifies signatures. The rest is here and not in `fido2.server`: its default
check of the origin accepts every subdomain and it logs the ids of credentials. Lengths are checked by the schemas
before anything is parsed.

Only this module and `public_keys` import `fido2`, and the core imports neither where there are no passkeys.
"""

import hashlib
from collections.abc import Collection

from fido2.cose import CoseKey
from fido2.webauthn import AttestationObject, AuthenticatorData, CollectedClientData

from pixora.passkeys import public_keys
from pixora.passkeys.credentials import Assertion, Attestation, NewCredential, Refused, SignedData

CREATE, GET = "webauthn.create", "webauthn.get"


def challenge_of(client_data: bytes, ceremony: str, origins: Collection[str]) -> bytes:
    """Check the type and the origin of client data, and return its challenge, which the caller must check.

    Raises:
        Refused: Also for a page in a frame of another origin.

    """
    try:
        data = CollectedClientData(client_data)
        is_right = data.type == ceremony and data.cross_origin is False and "topOrigin" not in data._data  # noqa: SLF001  # fido2 has no other way
        is_known = isinstance(data.origin, str) and data.origin in origins
    except Exception as error:  # whatever fido2 raises for malformed input
        raise Refused("the client data is malformed") from error
    if not is_right:
        raise Refused("the client data is of another ceremony, or from a frame of another origin")
    if not is_known:
        raise Refused("the origin is not in WEBAUTHN_ORIGINS")
    return data.challenge


def verify_registration(attestation: Attestation, rp_id: str) -> NewCredential:
    """Return the new credential; raise `Refused`. The attestation statement is not looked at."""
    try:
        data = AttestationObject(attestation.attestation_object).auth_data
        credential = data.credential_data
    except Exception as error:  # whatever fido2 raises for malformed input
        raise Refused("the attestation object is malformed") from error
    _check(data, rp_id)
    if credential is None or credential.credential_id != attestation.credential_id:
        raise Refused("the attestation object has no credential, or another one")
    try:
        public_key = public_keys.encode(credential.public_key)
    except ValueError as error:
        raise Refused("the public key is not accepted") from error
    return NewCredential(
        public_key, data.counter, data.is_backup_eligible(), data.is_backed_up(), str(credential.aaguid)
    )


def read_assertion(assertion: Assertion, rp_id: str) -> SignedData:
    """Return what the authenticator says, for `verify_signature`; raise `Refused`."""
    try:
        data = AuthenticatorData(assertion.authenticator_data)
    except Exception as error:  # whatever fido2 raises for malformed input
        raise Refused("the authenticator data is malformed") from error
    _check(data, rp_id)
    message = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
    return SignedData(message, data.counter, data.is_backup_eligible(), data.is_backed_up())


def verify_signature(public_key: bytes, signed: SignedData, signature: bytes) -> None:
    """Raise `Refused` if the signature is not by this key, from `public_keys.encode`."""
    key: CoseKey = public_keys.decode(public_key)
    try:
        key.verify(signed.message, signature)
    except Exception as error:  # InvalidSignature, or whatever a malformed signature raises
        raise Refused("the signature is wrong") from error


def _check(data: AuthenticatorData, rp_id: str) -> None:
    if data.rp_id_hash != hashlib.sha256(rp_id.encode()).digest():
        raise Refused("the authenticator data is for another relying party")
    if not data.is_user_present() or not data.is_user_verified():
        raise Refused("the user was not present or not verified")
    if data.has_extension_data() and not isinstance(data.extensions, dict):
        raise Refused("the extensions are malformed")
    if data.is_backed_up() and not data.is_backup_eligible():
        raise Refused("the passkey is backed up, and says that it cannot be")
