"""The examples of services that verify access tokens, with the keys of a service that runs."""

import importlib.util
import time
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mongod import free_port

from pixora.clock import LEEWAY_SECONDS
from tests import ROOT

EXAMPLES = {"python": "/hello", "page": "/api/greeting"}
"""The examples with a verifier in Python, and a route that needs a token."""


@pytest.fixture(scope="module")
def key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def url(gunicorn, key, tmp_path_factory):
    """A service with the key."""
    directory = tmp_path_factory.mktemp("keys")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "one.pem").write_bytes(pem)
    with gunicorn(JWT_SECRET_KEY="", JWT_KEY_DIR=str(directory)) as url:
        yield url


def client_of(name, url):
    """Return a client of an example that trusts the keys of a service."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXORA_URL", url)
        spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / name / "app.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.app.test_client()


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request, url):
    """The name of an example, and a client of it."""
    return request.param, client_of(request.param, url)


@pytest.fixture
def answer(key, monkeypatch):
    """What an example answers to a token with these claims, times in seconds from now; None leaves one out."""
    monkeypatch.setenv("PIXORA_ISSUER", "pixora")

    def answer(example, **changes):
        name, client = example
        now = int(time.time())
        claims = {"iss": "pixora", "aud": "pixora", "sub": "x", "sid": "y", "jti": str(uuid.uuid4()), "type": "access"}
        claims |= {"iat": 0, "exp": 900} | changes
        claims = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
        claims = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode(claims, key, "ES256", {"kid": "one"})
        return client.get(EXAMPLES[name], headers={"Authorization": f"Bearer {token}"})

    return answer


@pytest.fixture
def status(example, answer):
    """The status of that answer."""
    return lambda **changes: answer(example, **changes).status_code


def test_a_token_is_accepted(status):
    assert status() == 200


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_clock_may_be_a_little_ahead_and_no_more(status, claim):
    assert status(**{claim: LEEWAY_SECONDS - 1}) == 200
    assert status(**{claim: LEEWAY_SECONDS + 60}) == 401


@pytest.mark.parametrize("seconds", [0, 1, LEEWAY_SECONDS - 1, 60])
def test_a_token_that_has_expired_is_refused(status, seconds):
    assert status(iat=-100, exp=-seconds) == 401


@pytest.mark.parametrize("claim", ["sub", "sid", "jti", "iat", "exp", "iss", "aud", "type"])
def test_a_token_without_a_claim_is_refused(status, claim):
    assert status(**{claim: None}) == 401


@pytest.mark.parametrize("name", EXAMPLES)
def test_without_the_keys_no_token_is_called_invalid(answer, name):
    # A page would refresh its tokens, and be signed out.
    away = client_of(name, f"http://127.0.0.1:{free_port()}")
    assert answer((name, away)).status_code == 503
