"""The test vectors of WebAuthn, level 3: what the rules allow verifies, and all else is refused for its reason."""

import hashlib

import pytest

from pixora.passkeys import ceremonies, public_keys
from pixora.passkeys.ceremonies import CREATE, GET
from pixora.passkeys.credentials import Assertion, Attestation, Refused, SignedData
from tests.passkeys import standard
from tests.passkeys.standard import ORIGIN, RP_ID

UNVERIFIED = "the user was not present or not verified"
FRAME = "the client data is of another ceremony, or from a frame of another origin"
KEY = "the public key is not accepted"

VECTORS = {
    "none.ES256": ("2a34034630cb2751f4d40ef4c00b694e7ed99f46be7f8393657ff19fbbaf04f4", UNVERIFIED, UNVERIFIED),
    "packed-self.ES256": ("874973f0d16ebc5c2eb21003ba5757b55663039707c1b24e544d918b8b4408e7", None, UNVERIFIED),
    "none.ES256.crossOrigin": ("ffcaa44b3b85d98aed818da31485b7beec7c8f72236421b5163912f6e64b3b16", FRAME, FRAME),
    "none.ES256.topOrigin": ("e089f6aae8acefbeb7d7a75e4a2a33c96a2e098493339a6b19487df0b9a295ab", FRAME, FRAME),
    "none.ES256.long-credential-id": (
        "e25617ffd7dbd66d4f65eb955deed254c24e466117d9e86de814155151406331",
        UNVERIFIED,
        None,
    ),
    "packed.ES256": ("d2862fd5950d2c3392f2582ad528e005a8c1f8f055f01b6849c0e359883bda68", None, None),
    "packed.ES384": ("7d6f7b896873498eb27355ae9183f576848b74275a6ee94f24a1b8a6e431804a", UNVERIFIED, KEY),
    "packed.ES512": ("64b2b3e738b4df95680030fb5336ef0bc63a09c965356ee194b441dd018ed401", KEY, UNVERIFIED),
    "packed.RS256": ("d15aa2b5e76193bcbe34e6ccd0f7a37a4a61e75a43f93c4e83c8007a490df2a9", None, UNVERIFIED),
    "packed.EdDSA": ("b20c8bf39bdeae817af88078ef1b677d6ae267839426a867c940730e4601feb4", UNVERIFIED, UNVERIFIED),
    "packed.Ed448": ("001039c2ce716dd67c172ccfde9ccea13ee5b45f21025024d1931ce93296547a", UNVERIFIED, KEY),
    "tpm.ES256": ("311a3ca8ab65e03c1b9777ab429c3933c4e70854f6bebeb71cfd426f4075b7f7", None, None),
    "android-key.ES256": ("8bd4e8cd7cee991440299aa67ae83ea97a37fb5fef9f68a3cf4d3b181e84d030", None, UNVERIFIED),
    "apple.ES256": ("ca5403d56f2202eae60f5f4026d9f1c68a54b14197613a6d0cca0d35516183d3", UNVERIFIED, UNVERIFIED),
    "fido-u2f.ES256": ("d770739f996b183db3bac1aefbccb53a5f678897143bc57827be86edbda3a4b3", UNVERIFIED, UNVERIFIED),
}
"""By name: the digest of the values that the standard prints, and why registration and login are refused, if they are.

The flags of the vectors are random: in most of them the user was not verified, which this service demands.
"""


@pytest.fixture(scope="module", params=VECTORS)
def vector(request):
    return standard.make(request.param)


def refusal(action):
    try:
        action()
    except Refused as error:
        return str(error)
    return None


def register(vector):
    client_data = vector.client_data[0]
    assert ceremonies.challenge_of(client_data, CREATE, [ORIGIN]) == vector.challenges[0]
    attestation = Attestation(vector.credential_id, client_data, vector.attestation_object, [])
    new = ceremonies.verify_registration(attestation, RP_ID)
    assert public_keys.decode(new.public_key) == vector.public_key
    assert new.sign_count == 0


def log_in(vector):
    client_data = vector.client_data[1]
    assert ceremonies.challenge_of(client_data, GET, [ORIGIN]) == vector.challenges[1]
    data = vector.authenticator_data[1]
    assertion = Assertion(vector.credential_id, client_data, data, vector.signature, None)
    signed = ceremonies.read_assertion(assertion, RP_ID)
    ceremonies.verify_signature(encoded(vector), signed, vector.signature)


def encoded(vector):
    try:
        return public_keys.encode(vector.public_key)
    except ValueError as error:
        raise Refused(KEY) from error


def test_a_vector_is_that_of_the_standard(vector):
    assert vector.digest == VECTORS[vector.name][0]


def test_a_vector_verifies_or_is_refused_as_it_should_be(vector):
    _, registration, login = VECTORS[vector.name]
    assert refusal(lambda: register(vector)) == registration
    assert refusal(lambda: log_in(vector)) == login


def test_the_signature_of_each_accepted_algorithm_verifies_and_an_altered_one_does_not(vector):
    message = vector.authenticator_data[1] + hashlib.sha256(vector.client_data[1]).digest()
    signed = SignedData(message, 0, backup_eligible=False, backed_up=False)
    if vector.public_key[3] not in public_keys.ALGORITHMS:
        assert refusal(lambda: encoded(vector)) == KEY
        return
    key = encoded(vector)
    ceremonies.verify_signature(key, signed, vector.signature)
    for position in (0, len(vector.signature) // 2, -1):
        altered = bytearray(vector.signature)
        altered[position] ^= 1
        assert refusal(lambda: ceremonies.verify_signature(key, signed, bytes(altered))), position  # noqa: B023  # called at once
