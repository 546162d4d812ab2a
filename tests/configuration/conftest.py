"""The configuration, loaded from the variables that a test sets."""

import secrets

import pytest

import config

GOOD = {
    "MONGO_URI": "mongodb://db.example.com/pixora",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "JWT_SECRET_KEY": secrets.token_urlsafe(48),
}
LETTERS = {"PUBLIC_URL": "https://auth.example.com", "MAIL_FROM": "Example <no-reply@example.com>"}


@pytest.fixture
def load(monkeypatch):
    """Load the configuration from just these variables."""

    def load(**environment):
        for name in list(config.os.environ):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return config.load()

    return load


@pytest.fixture
def faults(load):
    """The variables, and what is said of them, when the configuration is refused."""

    def faults(**environment):
        with pytest.raises(config.ConfigError) as caught:
            load(**environment)
        return caught.value.faults

    return faults
