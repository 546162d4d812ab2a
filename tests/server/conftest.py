"""The worker under gunicorn, with an application that shows what it was given."""

from urllib.parse import urlsplit

import pytest

from tests.server.client import Client
from tests.system.conftest import gunicorn as gunicorn  # noqa: PLC0414  # a fixture


@pytest.fixture(scope="package")
def url(gunicorn):
    with gunicorn(application="tests.server.application:app", CORS_ORIGINS="https://app.example.com") as url:
        yield url


@pytest.fixture(scope="package")
def port(url):
    return urlsplit(url).port


@pytest.fixture
def client(port):
    with Client(port) as client:
        yield client
