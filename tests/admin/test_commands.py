import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios

import pytest

from pixora.accounts.users import UserStore
from tests import ROOT
from tests.conftest import make_account
from tests.factories import HASH_2B, PASSWORD, fastapi_user, log_in

PROFILE = {
    "--email": "Ada@Example.com",
    "--first-name": " Ada ",
    "--last-name": "Lovelace",
    "--contact": "+44 20 7946 0958",
    "--birthday": "1990-12-10",
}


def options(**changes):
    values = PROFILE | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return [part for name, value in values.items() if value is not None for part in (name, value)]


@pytest.fixture
def run(app, audit_rows):
    """Run a `users` command in this process; the audit trail is empty before."""

    def run(*arguments, stdin=""):
        return app.test_cli_runner().invoke(args=["users", *arguments], input=stdin)

    return run


@pytest.fixture
def audit_rows(mongo):
    """Empty the audit trail; read it without times and ids."""
    collection = mongo.get_default_database()["audit"]
    collection.delete_many({})

    def read():
        kept = ("event", "user_id", "by", "network", "request_id", "details")
        return [{name: row.get(name) for name in kept} for row in collection.find()]

    return read


def row(event, user_id, **details):
    about = {"event": event, "user_id": user_id, "by": "command"}
    return about | {"network": None, "request_id": None, "details": details}


def test_a_created_user_logs_in_with_the_password_from_stdin(app, run, users, audit_rows):
    result = run("create", *options(), stdin=PASSWORD + "\n")
    assert result.exit_code == 0, result.output
    [user] = users.find()
    assert result.stdout == f"Created user ada@example.com (id {user['_id']}).\n"
    assert user["password"].startswith("$2b$04$")
    del user["password"], user["created_at"], user["updated_at"]
    assert user == {
        "_id": user["_id"],
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@example.com",
        "contact": "+442079460958",
        "birthday": "1990-12-10",
        "email_verified": False,
        "roles": ["user"],
    }
    assert audit_rows() == [row("user_created", user["_id"], roles=["user"])]
    assert log_in(app.test_client()).status_code == 200


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nnot this line\n"])
def test_the_password_is_the_first_line_of_stdin(app, run, users, ending):
    assert run("create", *options(), stdin=PASSWORD + ending).exit_code == 0
    assert log_in(app.test_client()).status_code == 200


@pytest.mark.parametrize("command", ["create", "invite"])
def test_a_locale_is_the_language_of_the_emails(run, users, command):
    assert run(command, *options(locale="de-at"), stdin=PASSWORD).exit_code == 0
    assert users.find_one()["locale"] == "de-AT"


def test_a_verified_administrator_can_be_created(run, users, audit_rows):
    assert run("create", *options(role="admin"), "--verified", stdin=PASSWORD).exit_code == 0
    [user] = users.find()
    assert (user["roles"], user["email_verified"]) == (["user", "admin"], True)
    assert audit_rows() == [row("user_created", user["_id"], roles=["user", "admin"])]


def test_the_password_is_in_no_output(run, users):
    for stdin in (PASSWORD, "a secret", "x" * 2000, PASSWORD):
        result = run("create", *options(), stdin=stdin)
        assert stdin[:100] not in result.output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"email": "ada"}, "--email: An email address must have an @-sign."),
        ({"first_name": "\x1b[2J"}, "--first-name: Must not contain control characters."),
        ({"last_name": "\u2800"}, "--last-name: Must have at least one visible character."),
        ({"contact": "020 7946 0958"}, "--contact: Must be a telephone number with its country code, as in +44."),
        ({"birthday": "10.12.1990"}, "--birthday: Must be an existing date in the form YYYY-MM-DD."),
        ({"locale": "de_AT"}, "--locale: Must be a language tag, as in de or de-AT."),
        ({"locale": ""}, "--locale: Must be a language tag, as in de or de-AT."),
        ({"role": "root"}, "'root' is not one of 'user', 'admin'"),
        ({"email": None}, "Missing option '--email'"),
    ],
)
def test_a_value_that_sign_up_rejects_is_a_usage_error(run, users, changes, message):
    result = run("create", *options(**changes), stdin=PASSWORD)
    assert result.exit_code == 2
    assert message in result.stderr
    assert users.count_documents({}) == 0


@pytest.mark.parametrize(
    ("password", "message"),
    [
        (b"", "Must have at least 12 characters."),
        (b"lovelace ada ada", "The password is rejected: "),
        ("🦊🐢🦉🐙🦀🐝🦋🐞🦂🐍🦎🐌🐘🦜🐳🦔🐲🦖🐧".encode(), "Must have at most 72 bytes in UTF-8"),
        (b"difference-engine\0no-2", "Must not contain NUL or lone surrogates."),
        (b"difference-engine-no-\xff", "it is not UTF-8"),
        (b"x" * 10_000_000, "Must have at most 72 bytes in UTF-8"),
    ],
)
def test_a_password_that_sign_up_rejects_is_rejected(run, users, password, message):
    result = run("create", *options(), stdin=password)
    assert result.exit_code == 1
    assert message in result.stderr
    assert users.count_documents({}) == 0


def test_a_taken_email_is_rejected(run, users):
    assert run("create", *options(), stdin=PASSWORD).exit_code == 0
    result = run("create", *options(email="ADA@example.com"), stdin=PASSWORD)
    assert result.exit_code == 1
    assert result.stderr == "Error: User with this email already exists\n"
    assert users.count_documents({}) == 1


@pytest.mark.parametrize(("again", "status"), [(PASSWORD, 0), ("difference-engine-no-3", 1)])
def test_a_terminal_asks_twice_for_the_password_and_does_not_show_it(app, environment, users, again, status):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "users", "create", *options()]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # no thread of ours is in there
    ) as process:
        os.close(theirs)
        try:
            shown = read_until(ours, b"Password: ")
            os.write(ours, PASSWORD.encode() + b"\n")
            shown += read_until(ours, b"Repeat the password: ")
            os.write(ours, again.encode() + b"\n")
            if status:
                shown += read_until(ours, b"Password: ")
                os.write(ours, b"\x04")  # Control-D; a signal could come just before it reads
            shown += read_until(ours, None)
        except BaseException:
            process.kill()  # or else this would wait for it
            raise
    os.close(ours)
    assert process.returncode == status, shown
    assert (b"do not match" in shown) == bool(status)
    assert PASSWORD.encode() not in shown
    assert again.encode() not in shown
    assert users.count_documents({}) == 1 - status


def read_until(terminal, end):
    """Read from a terminal until `end`, or until it is closed."""
    shown = b""
    while end is None or not shown.endswith(end):
        assert select.select([terminal], [], [], 20)[0], shown
        try:
            shown += os.read(terminal, 1024)
        except OSError:  # the other end is closed
            assert end is None, shown
            return shown
    return shown


@pytest.mark.parametrize("named", ["Grace.Hopper@example.com", "Grace.Hopper@EXAMPLE.com", None])
def test_show_finds_a_user_by_address_or_id_and_shows_no_secret(run, users, named):
    user = fastapi_user(sessions=[{"id": "s", "salt": b"salt"}])
    users.insert_one(user)
    result = run("show", named or user["_id"], "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "id": user["_id"],
        "first_name": "Grace",
        "last_name": "Hopper",
        "email": "Grace.Hopper@example.com",
        "contact": "ring the Navy, ext. 7",
        "birthday": "1906-12-09",
        "created_at": "2023-05-17T08:30:00.123Z",
        "updated_at": "2023-05-17T08:30:00.123Z",
        "email_verified": False,
        "roles": ["user"],
        "disabled": False,
    }


def test_show_escapes_control_characters(run, users):
    user = fastapi_user(first_name="Grâce\x1b[2J\r\n", roles=["user", "admin"])
    users.insert_one(user)
    shown = run("show", user["_id"]).stdout
    assert f"id: {user['_id']}\nfirst_name: Grâce\\x1b[2J\\r\\n\n" in shown
    assert "\nroles: user, admin\ndisabled: False\n" in shown
    assert HASH_2B not in shown


@pytest.mark.parametrize("command", ["show", "disable", "enable", "promote"])
@pytest.mark.parametrize("named", ["nobody@example.com", "6924a1e0c3f1a2b4d5e6f708", "", "@", "x" * 5000, '{"$ne": 1}'])
def test_an_unknown_user_is_not_found(run, users, command, named):
    result = run(command, named)
    assert (result.exit_code, result.stdout, result.stderr) == (
        1,
        "",
        "Error: There is no such user. Check the id or e-mail address.\n",
    )


def test_a_disabled_user_logs_in_again_once_enabled(app, run, users, audit_rows):
    account = make_account(app.test_client())
    audit_rows()
    for command, state, status in (
        ("disable", "now disabled", 401),
        ("disable", "already disabled", 401),
        ("enable", "now enabled", 200),
        ("enable", "already enabled", 200),
    ):
        result = run(command, "ADA@example.com")
        assert (result.exit_code, result.stdout) == (0, f"ADA@example.com is {state}.\n")
        assert log_in(app.test_client()).status_code == status
    ours = [found for found in audit_rows() if found["by"]]
    assert ours == [row("user_disabled", account.id), row("user_enabled", account.id)]


def test_a_promoted_user_is_an_administrator(app, run, users, audit_rows):
    account = make_account(app.test_client())
    for since in ("now", "already"):
        assert run("promote", account.id).stdout == f"{account.id} is {since} an administrator.\n"
    assert users.find_one()["roles"] == ["user", "admin"]
    assert app.test_client().get("/api/admin/users", headers=account.bearer).status_code == 200
    ours = [found for found in audit_rows() if found["by"]]
    assert ours == [row("roles_changed", account.id, before=["user"], roles=["user", "admin"])]


def test_the_last_administrator_cannot_be_disabled(run, users):
    user = fastapi_user(roles=["admin"])
    users.insert_one(user)
    result = run("disable", user["_id"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: This is the last enabled administrator.")


@pytest.mark.parametrize("arguments", [["show", "ada@example.com"], ["create", *options()]])
def test_an_unavailable_database_is_reported(make_app, arguments):
    app = make_app(MONGO_URI="mongodb://127.0.0.1:9/pixora", DATABASE_TIMEOUT_MS=200)
    result = app.test_cli_runner().invoke(args=["users", *arguments], input=PASSWORD)
    assert result.exit_code == 75
    assert "The database is not available (unreachable)." in result.stderr


def test_an_email_that_is_taken_at_the_same_time_is_rejected(run, users, monkeypatch):
    create = UserStore.create_user

    def create_late(self, user):
        users.insert_one(fastapi_user(email=user["email"]))
        return create(self, user)

    monkeypatch.setattr(UserStore, "create_user", create_late)
    assert run("create", *options(), stdin=PASSWORD).exit_code == 1
    assert users.count_documents({}) == 1
