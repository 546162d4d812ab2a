"""What strangers can send: it is bounded in size and time, and leaves nothing behind."""

import gc
import json
import os
import sys
from functools import partial

import pytest
from fido2 import cbor

from pixora.passkeys.fields import encode
from pixora.passkeys.schemas import MAX_CLIENT_DATA, MAX_OBJECT
from tests.interpreter import MOST_SECONDS, seconds_of_longest
from tests.passkeys.authenticator import AT, UP, UV, Authenticator
from tests.passkeys.conftest import LOGIN, OWN
from tests.passkeys.test_login import CBOR_BOMBS

TIMES = 2_000
EXTENSIONS = 0x80


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        (json.dumps({"credential": {"new": "x" * 16_384}}), 413, "payload_too_large"),
        (json.dumps({"credential": {"new": "x" * 16_000}}), 422, "validation_failed"),
        ('{"credential": ' + '{"response": ' * 1_000 + "}" * 1_001, 400, "malformed_body"),
        ('{"credential": {"new": ' + "[" * 4_000 + "]" * 4_000 + "}}", 400, "malformed_body"),
        ('{"credential": {"new": ' + "[" * 900 + "]" * 900 + "}}", 400, "malformed_body"),
        ('{"credential": {"new": ' + "[" * 90 + "]" * 90 + "}}", 422, "validation_failed"),
        (json.dumps({"credential": [{"response": {}}]}), 422, "validation_failed"),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("path", [f"{LOGIN}/login", OWN])
def test_a_body_that_is_huge_or_nested_is_refused(client, account, path, text, status, code):
    response = client.post(path, data=text, content_type="application/json", headers=account.bearer)
    assert (response.status_code, response.json["code"]) == (status, code)


def test_no_login_holds_the_interpreter_for_long(client, passkey, request_options):
    credential = passkey.get(request_options())
    data = [passkey.authenticator_data(flags=UP | UV | EXTENSIONS) + bomb for bomb in bombs(MAX_OBJECT - 37)]
    collected = [b"[" * MAX_CLIENT_DATA, b'{"a":' * (MAX_CLIENT_DATA // 5), b"1" * MAX_CLIENT_DATA]
    responses = [{"authenticatorData": encode(one)} for one in data] + [
        {"clientDataJSON": encode(one)} for one in collected
    ]
    bodies = [{"credential": credential | {"response": credential["response"] | bent}} for bent in responses]
    assert longest(client, f"{LOGIN}/login", bodies) <= MOST_SECONDS


def test_no_registration_holds_the_interpreter_for_long(client, account, creation_options):
    authenticator = Authenticator()
    credential = authenticator.create(creation_options(account))
    head = bytes(16) + b"\0\x10" + authenticator.credential_id
    key = cbor.encode(authenticator.cose())
    objects = list(bombs(MAX_OBJECT))
    for bomb in bombs(MAX_OBJECT - 200):
        extended = authenticator.authenticator_data(flags=UP | UV | AT | EXTENSIONS)
        places = bomb, authenticator.authenticator_data(credential=head + bomb), extended + head + key + bomb
        objects += [cbor.encode({"fmt": "none", "attStmt": {}, "authData": data}) for data in places]
    responses = [credential["response"] | {"attestationObject": encode(one)} for one in objects]
    bodies = [{"credential": credential | {"response": response}} for response in responses]
    assert longest(client, OWN, bodies, headers=account.bearer) <= MOST_SECONDS


def bombs(length):
    """Yield the bombs, the long ones as long as they can be."""
    for bomb in CBOR_BOMBS:
        yield (bomb * (length // len(bomb) + 1))[:length] if len(bomb) > 1_000 else bomb


def longest(client, path, bodies, **options):
    """Return how long the worst of these bodies holds the interpreter, all of which are refused."""

    def refuse(body):
        assert client.post(path, json=body, **options).status_code in (401, 422)

    return seconds_of_longest(lambda: [partial(refuse, body) for body in bodies])


def test_options_that_anybody_asks_for_leave_nothing_behind(client, watch_commands):
    def ask(times):
        for _ in range(times):
            assert client.post(f"{LOGIN}/options").status_code == 200
        gc.collect()
        return sys.getallocatedblocks(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a Path is one more block

    ask(200)
    before = ask(1)
    with watch_commands() as commands:
        after = ask(TIMES)
    assert commands == []
    assert after[0] - before[0] < TIMES  # less than one for each: other threads allocate some meanwhile
    assert after[1] == before[1]
