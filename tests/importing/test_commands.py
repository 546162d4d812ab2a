import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from mongod import Mongod

import config
from pixora.accounts import bulk
from pixora.importing import batches, importer, lines
from pixora.importing.checkpoints import fingerprint
from tests import ROOT
from tests.factories import ARGON2ID, HASH_2B, PASSWORD, PHC_HASHES, SCRYPT, fastapi_user, log_in
from tests.importing.conftest import jsonl, record, summary

NO_HASH = "not a hash by bcrypt at a cost from 4 to 16, nor by argon2id, scrypt, pbkdf2-sha256, pbkdf2-sha512"


def emails(users):
    return sorted(user["email"] for user in users.find())


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(importer, "BATCH", 3)


def test_imported_users_log_in_with_their_passwords(app, run, users):
    hashes = [HASH_2B, *PHC_HASHES]
    assert run(jsonl(*(record(number, password_hash=stored) for number, stored in enumerate(hashes)))) == (
        0,
        summary(imported=6),
        [],
    )
    assert [log_in(app.test_client(), f"USER{number}@example.com").status_code for number in range(6)] == [200] * 6
    assert {user["password"][:7] for user in users.find()} == {"$2b$04$"}


def test_every_imported_user_is_audited_with_the_hash_scheme(run, users, audit):
    run(jsonl(record(0), record(1, password_hash=HASH_2B), record(2)))
    rows = {row["user_id"]: row for row in audit.find()}
    assert rows.keys() == {user["_id"] for user in users.find()}
    assert {(row["event"], row["by"], row["network"]) for row in rows.values()} == {("user_imported", "command", None)}
    assert Counter(row["details"]["scheme"] for row in rows.values()) == {"argon2id": 2, "bcrypt": 1}


def test_a_user_without_a_hash_is_imported_once_and_chooses_a_password(app, run, users, audit, token_sent):
    client, email, data = app.test_client(), "user0@example.com", jsonl(record() | {"password_hash": None})
    assert run(data) == (0, summary(imported=1), [])
    assert audit.find_one()["details"] == {"scheme": None}
    assert "password" not in users.find_one()
    nobody = log_in(client, "nobody@example.com").json
    assert log_in(client, email).json | {"request_id": None} == nobody | {"request_id": None}
    client.post("/api/auth/password-reset", json={"email": email})
    body = {"token": token_sent(email, "reset_password"), "new_password": "analytical-engine-no-1"}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    assert log_in(client, email, "analytical-engine-no-1").status_code == 200
    assert run(data) == (0, summary(already_there=1), [])
    assert "invited_at" not in users.find_one()


def test_refused_lines_are_reported_and_the_others_imported(run, users):
    data = jsonl(
        record(1),
        record(2, email="ada"),
        b"\n",
        b"{nonsense\n",
        record(5, contact="1", birthday="x"),
        record(6, password_hash="a secret"),
        record(7),
    )
    status, told, errors = run(data)
    assert (status, told) == (1, summary(imported=2, refused=4, lines=7))
    assert errors == [
        "Line 2: email: An email address must have an @-sign.",
        "Line 4: Must be well-formed JSON in UTF-8 without duplicate names.",
        "Line 5: contact: Must be a telephone number with its country code, as in +44.",
        "Line 5: birthday: Must be an existing date in the form YYYY-MM-DD.",
        f"Line 6: password_hash: Cannot be checked: {NO_HASH}.",
    ]
    assert emails(users) == ["user1@example.com", "user7@example.com"]


def test_refused_lines_are_written_to_a_file_as_json(run, tmp_path):
    status, _, errors = run(jsonl(record(1), record(2, email="ada"), b"x\n"), "--rejects", tmp_path / "rejects")
    assert (status, errors) == (1, [])
    assert [json.loads(line) for line in (tmp_path / "rejects").read_text().splitlines()] == [
        {"line": 2, "errors": {"email": ["An email address must have an @-sign."]}},
        {"line": 3, "errors": {"line": ["Must be well-formed JSON in UTF-8 without duplicate names."]}},
    ]


def test_a_repeated_import_changes_nothing(run, users, audit):
    data = jsonl(*map(record, range(10)))
    assert run(data) == (0, summary(imported=10), [])
    before = list(users.find())
    assert run(data) == (0, summary(already_there=10), [])
    assert list(users.find()) == before
    assert audit.count_documents({}) == 10


def test_a_repeated_import_recognises_users_with_a_new_hash_or_address(app, run, users):
    data = jsonl(*map(record, range(3)))
    run(data)
    assert log_in(app.test_client(), "user0@example.com").status_code == 200
    users.update_one({"email": "user1@example.com"}, {"$set": {"email": "another@example.com"}})
    before = list(users.find())
    assert run(data) == (0, summary(already_there=3), [])
    assert list(users.find()) == before


def test_a_repeated_import_recognises_users_with_ids_from_the_file(app, run, users):
    data = jsonl(*(record(number, id=f"{number:024x}") for number in range(3)))
    assert run(data)[:2] == (0, summary(imported=3))
    assert log_in(app.test_client(), "user0@example.com").status_code == 200
    users.update_one({"email": "user1@example.com"}, {"$set": {"email": "another@example.com"}})
    assert run(data)[:2] == (0, summary(already_there=3))


@pytest.mark.parametrize("changes", [{}, {"id": "0123456789abcdef01234567"}])
class TestErasedUser:
    @pytest.fixture
    def data(self, app, run, mongo, changes):
        """A file that was imported, and whose first user has deleted the account since."""
        mongo.get_default_database()["erased"].delete_many({})
        data = jsonl(record(0, **changes), record(1))
        assert run(data)[:2] == (0, summary(imported=2))
        client = app.test_client()
        token = log_in(client, "user0@example.com").json["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert client.delete("/api/users/me", json={"password": PASSWORD}, headers=headers).status_code == 204
        return data

    def test_is_not_imported_again(self, run, users, data):
        assert run(data) == (0, summary(already_there=1, erased=1), [])
        assert [user["email"] for user in users.find()] == ["user1@example.com"]

    def test_leaves_nothing_personal(self, mongo, data):
        marks = list(mongo.get_default_database()["erased"].find())
        assert len(marks) == 2  # of the id and of the address
        for mark in marks:
            assert re.fullmatch("[0-9a-f]{64}", mark.pop("_id"))
            assert mark == {}

    def test_is_restored_on_request(self, run, users, data):
        assert run(data, "--restore-erased") == (0, summary(imported=1, already_there=1), [])
        assert run(data) == (0, summary(already_there=2), [])

    @pytest.mark.parametrize("again", [{"password_hash": SCRYPT}, {"id": "a" * 24}, {"email": "USER0@Example.com"}])
    def test_is_recognized_by_the_address_in_another_export(self, run, users, data, again, changes):
        other = jsonl(record(0, **changes | again), record(1))
        assert run(other) == (0, summary(already_there=1, erased=1), [])
        assert run(other, "--restore-erased") == (0, summary(imported=1, already_there=1), [])
        assert run(other) == (0, summary(already_there=2), [])

    def test_is_recognized_after_a_change_of_the_address(self, app, run, users, data, changes):
        """By either mark: of the id, and of the new address."""
        assert run(data, "--restore-erased")[0] == 0
        users.update_one({"email": "user0@example.com"}, {"$set": {"email": "new@example.com"}})
        client = app.test_client()
        bearer = {"Authorization": f"Bearer {log_in(client, 'new@example.com').json['access_token']}"}
        assert client.delete("/api/users/me", json={"password": PASSWORD}, headers=bearer).status_code == 204
        moved = jsonl(record(0, password_hash=SCRYPT, email="new@example.com"))
        assert (run(data)[1]["erased"], run(moved)[1]["erased"]) == (1, 1)

    def test_is_reported(self, app, tmp_path, data):
        result = app.test_cli_runner().invoke(args=["users", "import", str(tmp_path / "users.jsonl")])
        assert "0 users imported, 1 already there, 1 not imported because they were erased, " in result.stdout


def test_a_repeated_import_recognises_users_under_another_secret_key(run, users, app, change_settings):
    data = jsonl(*map(record, range(3)))
    run(data)
    change_settings(app, SECRET_KEY="another secret, of more than thirty-two bytes")
    assert run(data) == (0, summary(already_there=3), [])
    assert users.count_documents({}) == 3


def test_another_user_with_the_address_or_id_is_left_alone(run, users):
    there = [
        fastapi_user(email="user0@example.com"),
        fastapi_user(email="grace@example.com", _id="0" * 24),
        fastapi_user(email="user2@example.com", _id="2" * 24, password=ARGON2ID),
    ]
    users.insert_many(there)
    data = jsonl(record(0), record(1, id="0" * 24), record(2, id="3" * 24), record(3))
    assert run(data) == (
        1,
        summary(imported=1, refused=3),
        [
            "Line 1: email: Another user has this e-mail address.",
            "Line 2: id: Another user has this id.",
            "Line 3: email: Another user has this e-mail address.",
        ],
    )
    assert [users.find_one({"_id": user["_id"]}) for user in there] == there
    assert users.count_documents({}) == 4


@pytest.mark.parametrize("between", [0, 5])
def test_the_first_of_two_lines_with_the_same_address_is_imported(run, users, small_batches, between):
    others = map(record, range(1, between + 1))
    data = jsonl(record(0), *others, record(0, email="USER0@example.com", password_hash=SCRYPT), record(0))
    assert run(data) == (
        1,
        summary(imported=1 + between, already_there=1, refused=1),
        [f"Line {between + 2}: email: Another user has this e-mail address."],
    )
    assert users.find_one({"email": "user0@example.com"})["password"] == ARGON2ID


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_imported(run, users, data):
    status, told, _ = run(data)
    assert (status, told["imported"], users.count_documents({})) == (0, 0, 0)


def test_a_binary_file_is_refused_line_by_line(run, users):
    status, told, _ = run(os.urandom(300_000))
    assert (status, told["imported"]) == (1, 0)


def test_stdin_is_imported_and_a_summary_printed(app, users):
    result = app.test_cli_runner().invoke(args=["users", "import", "-"], input=jsonl(record(0), record(1)))
    assert result.exit_code == 0
    assert result.stdout.startswith("2 users imported, 0 already there, 0 lines refused, in ")


def test_an_unavailable_database_is_reported_at_once(make_app, tmp_path):
    (tmp_path / "users").write_bytes(jsonl(record()))
    app = make_app(MONGO_URI="mongodb://127.0.0.1:9/pixora", DATABASE_TIMEOUT_MS=200)
    result = app.test_cli_runner().invoke(args=["users", "import", str(tmp_path / "users")])
    assert result.exit_code == 75
    assert (
        "The database is not available (unreachable). All lines up to 0 are done. Run the same command" in result.stderr
    )


def test_an_import_continues_after_a_database_failure(make_app, tmp_path, small_batches, monkeypatch):
    for waiting, name in ((batches, "SECONDS"), (importer, "SECONDS"), (bulk, "BATCH_SECONDS")):
        monkeypatch.setattr(waiting, name, 0.5)
    (tmp_path / "users").write_bytes(jsonl(*map(record, range(30))))
    arguments = ["users", "import", str(tmp_path / "users"), "--json", "--checkpoint", str(tmp_path / "checkpoint")]
    read = lines.read
    with Mongod(tmp_path / "mongodb", binary=config.mongod()) as mongod:
        runner = make_app(MONGO_URI=mongod.uri("pixora"), DATABASE_TIMEOUT_MS=2000).test_cli_runner()

        def read_and_stop(*where):
            for line in read(*where):
                if line.number == 20:
                    mongod.stop()
                yield line

        monkeypatch.setattr(lines, "read", read_and_stop)
        result = runner.invoke(args=arguments)
        assert result.exit_code == 75
        done = json.loads((tmp_path / "checkpoint").read_text())["line"]
        assert 3 <= done <= 18
        assert f"All lines up to {done} are done. Run the same command again to continue." in result.stderr
        monkeypatch.setattr(lines, "read", read)
        mongod.start()
        runner = make_app(MONGO_URI=mongod.uri("pixora")).test_cli_runner()
        result = runner.invoke(args=arguments)
    told = json.loads(result.stdout)
    assert (result.exit_code, told["lines"], told["imported"] + told["already_there"]) == (0, 30, 30)


def checkpoint(tmp_path, data, done, **changes):
    """Leave a checkpoint behind, as of a run that was killed after a line."""
    parts = data.splitlines(keepends=True)
    kept = {
        "line": done,
        "offset": sum(map(len, parts[:done])),
        "fingerprint": fingerprint(parts[0]),
        "counts": {"imported": done},
    }
    path = tmp_path / "checkpoint"
    path.write_text(json.dumps(kept | changes))
    return "--checkpoint", path


def test_an_import_continues_from_its_checkpoint(run, users, tmp_path):
    data = jsonl(*map(record, range(10)), b"x\n")
    options = checkpoint(tmp_path, data, 8)
    assert run(data, *options) == (
        1,
        summary(imported=10, refused=1),
        ["Line 11: Must be well-formed JSON in UTF-8 without duplicate names."],
    )
    assert emails(users) == ["user8@example.com", "user9@example.com"]
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(
    "changes", [{"fingerprint": "another"}, {"offset": 10_000_000}, {"offset": 3}, {"line": "x"}, {"counts": 7}]
)
def test_a_checkpoint_of_another_file_is_refused(run, users, tmp_path, changes):
    data = jsonl(*map(record, range(10)))
    status, told, errors = run(data, *checkpoint(tmp_path, data, 8, **changes))
    assert (status, told) == (2, {})
    assert errors[-1].endswith("Delete it to start over.")
    assert users.count_documents({}) == 0


def test_a_malformed_checkpoint_is_refused(run, users, tmp_path):
    (tmp_path / "checkpoint").write_bytes(b"\xff")
    assert run(jsonl(record()), "--checkpoint", tmp_path / "checkpoint")[0] == 2


def test_a_checkpoint_that_cannot_be_written_ends_the_import(run, users, tmp_path):
    status, _, errors = run(jsonl(record()), "--checkpoint", tmp_path / "no" / "such")
    assert status == 74
    assert errors[0].startswith("A file cannot be read or written: No such file or directory. All lines up to 1 are")


def test_a_rejects_file_that_cannot_be_written_ends_the_import(run, users):
    status, _, errors = run(jsonl(record(), b"x\n"), "--rejects", "/dev/full")
    assert status == 74
    assert errors[0].startswith("A file cannot be read or written: No space left on device.")


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_opened_is_a_usage_error(app, tmp_path, name):
    assert app.test_cli_runner().invoke(args=["users", "import", str(tmp_path / name)]).exit_code == 2


def test_a_killed_import_that_is_repeated_imports_every_user_once(app, users, audit, environment, tmp_path):
    number, before = 4_000, 2_500
    data = jsonl(*map(record, range(number)))
    (tmp_path / "users").write_bytes(data)
    options = ["--json", "--checkpoint", str(tmp_path / "checkpoint")]
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "users", "import"]
    process = subprocess.Popen(
        [*command, "-", *options], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    with process:
        process.stdin.write(b"".join(data.splitlines(keepends=True)[:before]))
        process.stdin.flush()  # and not closed: it does not get to the end, however fast it is
        while users.find_one() is None:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 0 < users.count_documents({}) <= before
    command = [*command, str(tmp_path / "users"), *options]
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    told = json.loads(again.stdout)
    assert (again.returncode, told["lines"], told["refused"]) == (0, number, 0)
    assert told["imported"] + told["already_there"] == number
    assert not (tmp_path / "checkpoint").exists()
    assert users.count_documents({}) == number
    assert len(users.distinct("email")) == number


def test_on_a_terminal_refusals_have_lines_of_their_own_beside_the_bar(app, users, environment, tmp_path):
    (tmp_path / "users").write_bytes(jsonl(*map(record, range(3)), b"x\n", *map(record, range(3, 6)), b"y\n"))
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "users", "import", str(tmp_path / "users")]
    terminal, inside = pty.openpty()
    run = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=inside)
    os.close(inside)
    printed = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody holds the other end any more
        while piece := os.read(terminal, 65536):
            printed += piece
    os.close(terminal)
    assert run.returncode == 1
    # What is left of each line, once the terminal has obeyed "erase this line".
    lines = [line.rsplit("\r\x1b[K", 1)[-1] for line in printed.decode().split("\r\n")]
    assert b"Importing" in printed
    for number in (4, 8):
        assert f"Line {number}: Must be well-formed JSON in UTF-8 without duplicate names." in lines
