"""Administrators, and requests to `/api/admin/users`."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pymongo.collection import Collection

from tests.conftest import make_account, promote
from tests.factories import Account


@pytest.fixture
def second_admin(client: FlaskClient, users: Collection[dict[str, Any]]) -> Account:
    """Another administrator."""
    return promote(users, make_account(client, email="second@example.com"))


@pytest.fixture
def ask(client: FlaskClient, admin: Account) -> Any:
    """Send a request to `/api/admin/users…` as the administrator, or as another account."""

    def ask(method: str, path: str = "", by: Account = admin, **kwargs: Any) -> Any:
        return client.open(f"/api/admin/users{path}", method=method, headers=by.bearer, **kwargs)

    return ask


@pytest.fixture
def other_app(make_app: Any) -> Flask:
    """Another instance of the service, with its own MongoDB client."""
    return make_app()
