"""Unused tokens are deleted."""

import pytest

from tests.factories import PASSWORD

ALL = {"verify_email", "reset_password", "change_email"}


@pytest.fixture
def tokens(client, account, users):
    """Ada has a token of each purpose; read those that are stored."""
    client.post("/api/auth/password-reset", json={"email": account.email})
    body = {"email": "new@example.com", "password": PASSWORD}
    assert client.post("/api/users/me/email", json=body, headers=account.bearer).status_code == 202
    users.update_one({}, {"$set": {"letters": []}})  # nothing is to be sent here
    return lambda: set(users.find_one()["tokens"])


@pytest.mark.parametrize("command", [["mail", "send"], ["db", "upgrade"]], ids=" ".join)
@pytest.mark.parametrize(("hours", "left"), [(24, ALL), (26, ALL - {"reset_password"}), (49, set())])
def test_a_token_is_deleted_a_day_after_it_expired(make_app, tokens, move_clock, command, hours, left):
    move_clock(hours=hours)
    app = make_app(SMTP_URL="smtp://127.0.0.1:1", MAIL_FROM="a@example.com", PUBLIC_URL="https://auth.example.com")
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 0, result.output
    assert tokens() == left


@pytest.mark.parametrize(
    "query", [{"tokens.change_email.email": {"$in": ["a"]}}, {"tokens.verify_email.expires_at": 1}]
)
def test_queries_for_tokens_use_an_index(client, tokens, users, query):
    assert "tokens.$**_1" in str(users.find(query).explain())
