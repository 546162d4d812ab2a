"""An outbox, an SMTP server, and a sender between them."""

import ssl

import pytest
from mongod import free_port

from pixora import clock
from pixora.mail.rendering import LINK_PATHS
from pixora.mail.sender import Sender, connection
from pixora.services import services
from pixora.tokens.one_time import OneTimeToken, Purpose
from tests import smtp_server
from tests.authority import Authority
from tests.factories import fastapi_user


@pytest.fixture
def context(app):
    with app.app_context():
        yield app


@pytest.fixture
def post(users, context):
    """Put an e-mail into the outbox of a new user, with the token that it needs; return it."""

    def post(template="password_changed", to="ada@example.com"):
        user = fastapi_user(email=f"{users.count_documents({})}@example.com")
        secret, now = None, clock.utcnow()
        if template in LINK_PATHS:
            token, purpose = OneTimeToken.make(user["_id"]), Purpose(template)
            secret, user["tokens"] = token.text, {purpose.value: token.record(purpose, now)}
        posted = services.outbox.compose(template, to, now, secret=secret, **context_of(template))
        users.insert_one(user | {"letters": [posted]})
        return posted

    return post


@pytest.fixture
def smtp():
    """A server that accepts every message, without TLS."""
    with smtp_server.running(free_port()) as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority, monkeypatch):
    """Trust the certificates of the tests; return the TLS context of a server that has one."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    return tls_context(authority)


@pytest.fixture
def send_all(context, smtp, change_settings):
    """Send the e-mails that are due, as one run of `mail send` does."""
    change_settings(context, SMTP_URL=smtp.url)

    def send_all():
        with connection() as server:
            return Sender(server).send_all(lambda: False)

    return send_all


def context_of(template):
    """Return the context that the template needs."""
    if template == "account_changed":
        return {"changes": "first_name,contact,disabled"}
    return {"new_email": "lovelace@example.com"} if template in ("email_changing", "email_changed") else {}


def tls_context(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.issue())
    return context
