"""Resetting the second factor of somebody who has lost everything."""

import pytest

from tests.factories import log_in


@pytest.fixture
def reset_by_command(app):
    def reset(user):
        return app.test_cli_runner().invoke(args=["users", "reset-factors", user])

    return reset


def test_an_administrator_removes_all_second_factors(owner, reset_factors, factors_of, client):
    assert reset_factors(owner.account.id).status_code == 204
    assert factors_of(owner.account) == {}
    assert log_in(client).status_code == 200
    assert reset_factors(owner.account.id).status_code == 204


def test_it_is_audited_and_told_to_the_owner(owner, admin, reset_factors, trail, emails_to):
    reset_factors(owner.account.id)
    reset_factors(owner.account.id)
    [row] = trail.find({"event": "second_factor_reset"})
    assert (row["user_id"], row["by"]) == (owner.account.id, admin.id)
    assert [email["template"] for email in emails_to("ada@example.com")].count("factor_reset") == 1


def test_a_reset_while_a_code_is_checked_ends_the_login(owner, reset_factors, challenge, send_code, before_a_write):
    token = challenge()
    before_a_write("users", lambda: reset_factors(owner.account.id))
    answer = send_code(token, code=owner.code())
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_mfa_token")


def test_administrators_cannot_reset_their_own(admin, enrol, reset_factors, factors_of):
    enrol(admin)
    answer = reset_factors(admin.id)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert factors_of(admin)["totp"]


def test_others_cannot_reset_anything(owner, reset_factors, factors_of):
    assert reset_factors(owner.account.id, by=owner.account).status_code == 403
    assert factors_of(owner.account)["totp"]


def test_of_an_unknown_user_there_is_nothing_to_reset(reset_factors):
    answer = reset_factors("6924a1e0c3f1a2b4d5e6f708")
    assert (answer.status_code, answer.json["code"]) == (404, "user_not_found")


def test_an_operator_resets_by_command(owner, reset_by_command, trail, client):
    result = reset_by_command("Ada@example.com")
    assert (result.exit_code, result.stdout) == (0, "Ada@example.com is now without a second factor.\n")
    assert reset_by_command(owner.account.id).stdout == f"{owner.account.id} is already without a second factor.\n"
    assert log_in(client).status_code == 200
    [row] = trail.find({"event": "second_factor_reset"})
    assert row["by"] == "command"


def test_the_command_reports_an_unknown_user(app, users, reset_by_command):
    assert reset_by_command("nobody@example.com").exit_code == 1
