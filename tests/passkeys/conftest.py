"""Users with a passkey, of an authenticator in software."""

import pytest

from pixora import clock
from pixora.passkeys.challenges import LIFETIME
from tests.factories import Account
from tests.passkeys.authenticator import Authenticator

OWN, LOGIN = "/api/users/me/passkeys", "/api/auth/passkeys"
REAUTHENTICATE = "/api/auth/reauthenticate"


def ask_options(client, path, account=None):
    response = client.post(f"{path}/options", headers=account.bearer if account else {})
    assert response.status_code == 200, response.text
    return response.json


@pytest.fixture
def creation_options(client):
    """Ask for the options of a new passkey, as an account."""
    return lambda account: ask_options(client, OWN, account)


@pytest.fixture
def request_options(client):
    """Ask for the options of a login."""
    return lambda: ask_options(client, LOGIN)


@pytest.fixture
def reauthentication_options(client):
    """Ask for the options to authenticate again, as an account."""
    return lambda account: ask_options(client, REAUTHENTICATE, account)


@pytest.fixture
def register(client, creation_options):
    """Add a passkey of an authenticator, a new one by default; return the authenticator and the answer."""

    def register(account, authenticator=None, **body):
        authenticator = authenticator or Authenticator()
        credential = authenticator.create(creation_options(account))
        response = client.post(OWN, json={"credential": credential} | body, headers=account.bearer)
        return authenticator, response

    return register


@pytest.fixture
def passkey(register, account, client):
    """Ada's passkey."""
    authenticator, response = register(account)
    assert response.status_code == 201, response.text
    return authenticator


@pytest.fixture
def use_challenges(users):
    """Make the only user have used so many challenges just now."""

    def use(number):
        used = [{"nonce": bytes([one] * 16), "expires_at": clock.utcnow() + LIFETIME} for one in range(number)]
        users.update_one({}, {"$set": {"passkey_challenges": used}})

    return use


@pytest.fixture
def log_in_by(client, request_options):
    """Log in by an authenticator; return the answer."""

    def log_in(authenticator, **bent):
        credential = authenticator.get(request_options(), **bent)
        return client.post(f"{LOGIN}/login", json={"credential": credential})

    return log_in


@pytest.fixture
def by_passkey(account, passkey, log_in_by):
    """Ada, logged in with her passkey: she may change what she logs in with."""
    tokens = log_in_by(passkey).json
    return Account(account.id, account.email, tokens["access_token"], tokens["refresh_token"])
