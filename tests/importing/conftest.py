"""Files of users, and the command that imports them."""

import json

import pytest

from tests.factories import ARGON2ID, signup_body


def record(number=0, **changes):
    """What a line says; `None` leaves a field out."""
    made = signup_body(email=f"user{number}@example.com", password_hash=ARGON2ID)
    del made["password"]
    return {name: value for name, value in (made | changes).items() if value is not None}


def jsonl(*records):
    """The bytes of a file of these records; those that are bytes already stay."""
    return b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in records)


@pytest.fixture
def audit(mongo):
    """The collection of the audit trail, emptied."""
    collection = mongo.get_default_database()["audit"]
    collection.delete_many({})
    return collection


@pytest.fixture
def run(app, tmp_path):
    """Import a file in this process; return its exit status, the summary, and the lines of stderr that are no log."""

    def run(data, *options):
        (tmp_path / "users.jsonl").write_bytes(data)
        arguments = ["users", "import", str(tmp_path / "users.jsonl"), "--json", *map(str, options)]
        result = app.test_cli_runner().invoke(args=arguments)
        summary = json.loads(result.stdout) if result.stdout else {}
        summary.pop("seconds", None)
        return result.exit_code, summary, [line for line in result.stderr.splitlines() if not line.startswith("{")]

    return run


def summary(imported=0, already_there=0, erased=0, refused=0, lines=None):
    lines = imported + already_there + erased + refused if lines is None else lines
    return {"lines": lines, "imported": imported, "already_there": already_there, "erased": erased, "refused": refused}
