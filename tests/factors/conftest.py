"""Users with an authenticator app, whose codes the tests make with pyotp."""

from dataclasses import dataclass

import pyotp
import pytest

from pixora import clock
from tests.factories import PASSWORD, Account, log_in
from tests.movable_clock import MovableClock


@dataclass
class Owner:
    """Somebody with an authenticator app."""

    account: Account
    secret: str
    recovery_codes: list[str]

    def code(self, steps=0):
        """Return the code of now, or of some steps later."""
        return code_of(self.secret, steps)


def code_of(secret, steps=0):
    return pyotp.TOTP(secret).at(clock.utcnow(), counter_offset=steps)


@pytest.fixture
def start(client, users):
    """Ask for a new secret, with a verified address; return the answer."""

    def start(account):
        users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
        return client.post("/api/users/me/factors/totp", headers=account.bearer)

    return start


@pytest.fixture
def confirm(client):
    """Confirm a new secret with a code; return the answer."""

    def confirm(account, code):
        return client.post("/api/users/me/factors/totp/confirm", json={"code": code}, headers=account.bearer)

    return confirm


@pytest.fixture
def refresh(client):
    """Refresh the tokens of an account; return the answer."""

    def refresh(account):
        fields = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
        return client.post("/api/auth/refresh", data=fields)

    return refresh


@pytest.fixture
def enrol(start, confirm, refresh):
    """Set up an authenticator app for an account."""

    def enrol(account):
        secret = start(account).json["secret"]
        confirmed = confirm(account, code_of(secret))
        assert confirmed.status_code == 200, confirmed.text
        grant = refresh(account).json  # its access token says that the session has two factors now
        account = account._replace(token=grant["access_token"], refresh_token=grant["refresh_token"])
        return Owner(account, secret, confirmed.json["recovery_codes"])

    return enrol


@pytest.fixture
def still_clock(monkeypatch):
    """A clock that stands still until the test moves it."""
    machine = MovableClock(monkeypatch)
    machine.freeze()
    return machine


@pytest.fixture
def owner(still_clock, account, enrol):
    """Somebody who has set up an app a minute ago, so the code of now is unused. The clock stands still."""
    owner = enrol(account)
    still_clock.move(seconds=60)
    return owner


@pytest.fixture
def challenge(client):
    """Log in with the password; return the token for the second step."""

    def challenge(email="ada@example.com", password=PASSWORD):
        answer = log_in(client, email, password)
        assert answer.status_code == 403, answer.text
        assert answer.json["code"] == "mfa_required"
        return answer.json["mfa_token"]

    return challenge


@pytest.fixture
def send_code(client):
    """Send the second step of a login; return the answer."""

    def send_code(token, **code):
        return client.post("/api/auth/mfa", data={"mfa_token": token, **code})

    return send_code


@pytest.fixture
def factors_of(users):
    """Return the stored second factors of an account."""

    def factors_of(account):
        return users.find_one({"_id": account.id}).get("factors", {})

    return factors_of


def wrong(code):
    """Return a code that is right at no time around that of `code`."""
    return f"{(int(code) + 500_000) % 1_000_000:06}"
