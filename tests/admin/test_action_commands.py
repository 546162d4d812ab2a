"""`users list|invite|demote|verify|delete`, `--json`, and what is printed around the output."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.auth.conftest import NEW_PASSWORD
from tests.conftest import make_account
from tests.factories import PASSWORD, fastapi_user

ROOT = Path(__file__).resolve().parents[2]
PROFILE = [
    "--first-name",
    "Mary",
    "--last-name",
    "Somerville",
    "--contact",
    "+442079460958",
    "--birthday",
    "1980-12-26",
]
INVITE = ["invite", "--email", "Guest@example.com", *PROFILE]


@pytest.fixture
def run(app):
    """Run a `users` command in this process."""
    return lambda *arguments, stdin="": app.test_cli_runner().invoke(args=["users", *arguments], input=stdin)


@pytest.fixture
def crowd(users):
    users.insert_many(
        fastapi_user(_id=f"{number:024}", email=f"u{number}@example.com", **changes)
        for number, changes in enumerate(
            [{}, {"roles": ["user", "admin"]}, {"disabled": True}, {"email_verified": True}, {"first_name": "\x1b[2J"}]
        )
    )


def emails(result):
    assert result.exit_code == 0, result.output
    return [user["email"] for user in json.loads(result.stdout)["items"]]


def test_users_are_listed_for_people(run, crowd):
    result = run("list", "--limit", "4")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{0:024}  u0@example.com  user",
        f"{1:024}  u1@example.com  user, admin",
        f"{2:024}  u2@example.com  user, disabled",
        f"{3:024}  u3@example.com  user, verified",
    ]
    assert result.stderr.startswith("4 of 5 users. Next page: --after ")
    after = result.stderr.split()[-1]
    assert run("list", "--after", after).stdout == f"{4:024}  u4@example.com  user\n"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], "01234"),
        (["--role", "admin"], "1"),
        (["--disabled"], "2"),
        (["--enabled"], "0134"),
        (["--verified"], "3"),
        (["--unverified", "--enabled"], "014"),
        (["--email", "U4"], "4"),
        (["--created-after", "2023-05-17T08:30:01Z"], ""),
        (["--created-before", "2023-05-17T08:30:01Z", "--limit", "2"], "01"),
    ],
)
def test_users_are_listed_by_filters_for_programs(run, crowd, options, found):
    result = run("list", "--json", *options)
    assert emails(result) == [f"u{number}@example.com" for number in found]
    assert set(json.loads(result.stdout)) == {"items", "next", "total"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limit", "0"], "--limit: Must be a number from 1 to 100."),
        (["--limit", "x"], "--limit: Must be a number from 1 to 100."),
        (["--role", "root"], "--role: Must be one of: user, admin."),
        (["--created-after", "yesterday"], "--created-after: Must be a time with its offset"),
        (["--after", "x"], "--after: Is not the cursor of a page of this list."),
        (["--email", ""], "--email: Must have between 1 and 254 characters."),
    ],
)
def test_a_malformed_filter_is_a_usage_error(run, users, options, message):
    result = run("list", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_invited_user_chooses_a_password(app, client, run, users, token_sent, trail):
    result = run(*INVITE, "--role", "admin")
    [user] = users.find()
    assert result.stdout == f"Invited guest@example.com (id {user['_id']}).\n"
    assert (user["roles"], "password" in user) == (["user", "admin"], False)
    assert "user, admin, invited" in run("list").stdout
    assert run("invite", "--email", "guest@example.com", "--again").stdout == "Invited guest@example.com again.\n"
    body = {"token": token_sent("guest@example.com", "invitation"), "new_password": NEW_PASSWORD}
    assert client.post("/api/auth/invitation/confirm", json=body).status_code == 204
    assert {row.get("by") for row in trail.find({"event": "invited"})} == {"command"}
    again = run("invite", "--email", "guest@example.com", "--again")
    assert (again.exit_code, "has no pending invitation" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["invite", "--email", "guest@example.com"], 2, "Missing option '--first-name'."),
        ([*INVITE, "--email", "guest"], 2, "--email: An email address must have an @-sign."),
        ([*INVITE, "--birthday", "10.12.1990"], 2, "--birthday: Must be an existing date"),
        ([*INVITE, "--email", "ada@example.com"], 1, "User with this email already exists"),
        (["invite", "--email", "nobody@example.com", "--again"], 1, "There is no such user."),
        (["invite", "--email", "ada@example.com", "--again"], 1, "has no pending invitation"),
    ],
)
def test_what_cannot_be_invited_is_refused(client, run, users, arguments, status, message):
    make_account(client)
    result = run(*arguments)
    assert result.exit_code == status
    assert message in result.stderr
    assert users.count_documents({}) == 1


def test_an_address_with_too_many_emails_is_not_invited(make_app, users, counts):
    runner = make_app(throttle_mail_per_account="5 per hour").test_cli_runner()
    assert runner.invoke(args=["users", *INVITE]).exit_code == 0
    again = ["users", "invite", "--email", "guest@example.com", "--again"]
    results = [runner.invoke(args=again) for _ in range(3)]
    assert [result.exit_code for result in results] == [0, 0, 1]
    assert "has received too many e-mails. Try again in" in results[-1].stderr


def test_an_administrator_is_demoted_unless_it_is_the_last_one(run, users, crowd):
    refused = run("demote", "u1@example.com")
    assert (refused.exit_code, "last enabled administrator" in refused.stderr) == (1, True)
    run("promote", "u0@example.com")
    for since in ("now", "already"):
        assert run("demote", "u1@example.com").stdout == f"u1@example.com is {since} no administrator.\n"
    assert users.find_one({"email": "u1@example.com"})["roles"] == ["user"]


def test_an_address_is_verified(run, users, crowd, trail):
    for since in ("now", "already"):
        assert run("verify", "u0@example.com").stdout == f"u0@example.com is {since} verified.\n"
    assert users.find_one({"email": "u0@example.com"})["email_verified"] is True
    assert [row["by"] for row in trail.find({"event": "email_verified"})] == ["command"]


def test_a_user_is_deleted_with_confirmation(run, users, crowd, trail):
    refused = run("delete", "u0@example.com")
    assert (refused.exit_code, "Pass --yes" in refused.stderr) == (2, True)
    assert users.count_documents({}) == 5
    deleted = run("delete", "u0@example.com", "--yes")
    assert (deleted.exit_code, deleted.stdout) == (0, f"Deleted u0@example.com (id {0:024}).\n")
    assert users.find_one({"email": "u0@example.com"}) is None
    [row] = trail.find({"event": "account_deleted"})
    assert (row["by"], row["user_id"].startswith("erased-")) == ("command", True)


def test_the_last_administrator_is_not_deleted(run, users, crowd):
    refused = run("delete", "u1@example.com", "--yes")
    assert (refused.exit_code, "last enabled administrator" in refused.stderr) == (1, True)
    assert users.find_one({"email": "u1@example.com"})


@pytest.mark.parametrize("command", [["demote"], ["verify"], ["delete", "--yes"]])
@pytest.mark.parametrize("named", ["nobody@example.com", "6924a1e0c3f1a2b4d5e6f708", "", '{"$ne": 1}'])
def test_an_unknown_user_is_not_found(run, users, command, named):
    result = run(*command, named)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no such user. Check the id or e-mail address.\n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["disable", "u0@example.com"], {"disabled": True}),
        (["enable", "u2@example.com"], {"disabled": False}),
        (["promote", "u0@example.com"], {"roles": ["user", "admin"]}),
        (["verify", "u0@example.com"], {"email_verified": True}),
    ],
)
def test_a_change_is_printed_for_programs(run, crowd, command, expected):
    for changed in (True, False):
        printed = json.loads(run(*command, "--json").stdout)
        assert printed["changed"] is changed
        assert printed["user"].items() >= expected.items()


def test_new_and_deleted_users_are_printed_for_programs(run, users):
    created = json.loads(run("create", "--email", "a@example.com", *PROFILE, "--json", stdin=PASSWORD).stdout)
    invited = json.loads(run(*INVITE, "--json").stdout)
    assert (created["email"], "invited_at" in created) == ("a@example.com", False)
    assert (invited["email"], "invited_at" in invited) == ("guest@example.com", True)
    assert json.loads(run("delete", created["id"], "--yes", "--json").stdout) == {"deleted": created["id"]}


def flask(environment, *arguments, **options):
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=60, **options)


def test_on_a_terminal_no_line_of_the_log_is_around_the_output(environment, users, crowd):
    master, terminal = pty.openpty()
    try:
        done = flask(environment, "users", "disable", "u0@example.com", stdout=terminal, stderr=terminal)
        assert done.returncode == 0
        assert os.read(master, 10_000).decode() == "u0@example.com is now disabled.\r\n"
    finally:
        os.close(master)
        os.close(terminal)


def test_elsewhere_the_event_is_on_stderr(environment, users, crowd):
    done = flask(environment, "users", "disable", "u0@example.com", capture_output=True, text=True)
    assert done.stdout == "u0@example.com is now disabled.\n"
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["user_disabled"]


def test_the_list_of_commands_has_ours_only(environment):
    shown = flask(environment, "--help", capture_output=True, text=True).stdout
    assert [line.split()[0] for line in shown.split("Commands:\n")[1].splitlines()] == [
        *("db", "doctor", "keys", "mail", "users"),
    ]


@pytest.mark.parametrize(
    ("words", "position", "offered"),
    [("flask ", 1, {"db", "doctor", "keys", "mail", "users"}), ("flask users d", 2, {"delete", "demote", "disable"})],
)
def test_the_shell_completes_commands(environment, words, position, offered):
    variables = {
        "FLASK_APP": "wsgi",
        "_FLASK_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": f"{position}",
    }
    command = [Path(sys.executable).with_name("flask")]
    done = subprocess.run(command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=60)
    assert {line.removeprefix("plain,") for line in done.stdout.split()} == offered
