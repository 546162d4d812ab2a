"""The example of a service that verifies access tokens, with the keys of a service that runs."""

import importlib.util
import time
import uuid
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pixora.clock import LEEWAY_SECONDS

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/python/app.py"


@pytest.fixture(scope="module")
def key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def example(gunicorn, key, tmp_path_factory):
    """A client of the example, and what signs tokens as the service does."""
    directory = tmp_path_factory.mktemp("keys")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "one.pem").write_bytes(pem)
    with (
        gunicorn(JWT_SECRET_KEY="", JWT_KEY_DIR=str(directory)) as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PIXORA_URL", url)
        patch.setenv("PIXORA_ISSUER", "pixora")
        spec = importlib.util.spec_from_file_location("example", EXAMPLE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module.app.test_client()


@pytest.fixture
def status(example, key):
    """What the example answers to a token with these claims, in seconds from now."""

    def status(**times):
        now = int(time.time())
        claims = {"iss": "pixora", "aud": "pixora", "sub": "x", "sid": "y", "jti": str(uuid.uuid4()), "type": "access"}
        claims |= {"iat": now, "exp": now + 900} | {name: now + seconds for name, seconds in times.items()}
        token = jwt.encode(claims, key, "ES256", {"kid": "one"})
        return example.get("/hello", headers={"Authorization": f"Bearer {token}"}).status_code

    return status


def test_a_token_is_accepted(status):
    assert status() == 200


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_clock_may_be_a_little_ahead_and_no_more(status, claim):
    assert status(**{claim: LEEWAY_SECONDS - 1}) == 200
    assert status(**{claim: LEEWAY_SECONDS + 60}) == 401


@pytest.mark.parametrize("seconds", [0, 1, LEEWAY_SECONDS - 1, 60])
def test_a_token_that_has_expired_is_refused(status, seconds):
    assert status(iat=-100, exp=-seconds) == 401
