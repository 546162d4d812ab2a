import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mongod import free_port

from pixora import clock
from pixora.accounts import hash_census
from pixora.accounts.users import INDEXES
from pixora.upkeep import settings as checks_of_settings
from pixora.upkeep.commands import app_with_doctor_only
from pixora.upkeep.doctor import Check, examine
from pixora.upkeep.findings import State, fault, ok
from tests import ROOT, smtp_server
from tests.factories import ARGON2ID, HASH_2B, fastapi_user

ALL = {
    *("environment", "secrets", "signing_key", "uri", "write_concern", "database", "version", "topology", "clock"),
    *("disk", "indexes", "addresses", "hashes", "erasures", "second_factors", "passkeys", "outbox", "smtp", "client"),
    "passkey_documents",
}


@pytest.fixture
def doctor(run, indexed):
    """Run `doctor --json`; return the exit status and the findings by check, as `(state, message, advice)`."""

    def doctor(*arguments, **changes):
        result = run("doctor", "--json", *arguments, **changes)
        assert not isinstance(result.exception, Exception), result.output
        report = json.loads(result.stdout)
        assert report["healthy"] == (result.exit_code == 0)
        found = {}
        for one in report["checks"]:
            found.setdefault(one["check"], []).append((one["state"], one["message"], one["advice"]))
        return result.exit_code, found

    return doctor


@pytest.fixture
def fault_of(doctor):
    """Run the doctor; return message and advice of its only fault, which must be of this check."""

    def fault_of(name, **changes):
        status, found = doctor(**changes)
        faulty = {check for check, findings in found.items() for finding in findings if finding[0] == "fault"}
        assert (status, faulty) == (1, {name})
        [(_, message, advice)] = [finding for finding in found[name] if finding[0] == "fault"]
        assert advice
        return f"{message} → {advice}"

    return fault_of


def test_a_healthy_service_has_no_fault(users, doctor):
    users.insert_many([fastapi_user(email="grace@example.com"), fastapi_user(email="ada@example.com")])
    status, found = doctor()
    assert status == 0
    assert set(found) == ALL
    assert found["addresses"] == [
        ("ok", "All 2 e-mail addresses are in canonical form, and each belongs to one user.", "")
    ]
    states = {name: state for name, [(state, _, _)] in found.items()}
    assert {name for name, state in states.items() if state != "ok"} == {
        *("environment", "topology", "smtp"),  # warnings: tests run with one member and without SMTP
        *("client", "passkey_documents"),  # without --url
    }


def test_findings_are_printed_with_advice(users, indexed, run):
    users.insert_one(fastapi_user())
    result = run("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "ok       database: The database answers." in lines
    [number] = [number for number, line in enumerate(lines) if line.startswith("fault ")]
    assert lines[number].startswith("fault    addresses: 1 of 1 e-mail addresses are not in canonical form")
    assert lines[number + 1] == "         → flask --app wsgi db upgrade"


def make_all_but_one_index(users):
    users.create_indexes([model for model in INDEXES["users"] if model.document["name"] != "email_1"])


def test_a_missing_index_is_found(old_users, fault_of):
    make_all_but_one_index(old_users)
    message = fault_of("indexes")
    assert "users.email_1 is missing" in message
    assert "db upgrade" in message
    assert "email_1" not in old_users.index_information()


@pytest.mark.parametrize(
    ("options", "what", "advice"),
    [
        ({}, "its unique differs", "→ flask --app wsgi db upgrade"),
        ({"unique": True, "hidden": True}, "its hidden differs", "→ flask --app wsgi db upgrade"),
        ({"unique": True, "sparse": True}, "its sparse differs", 'dropIndex("email_1")'),
        ({"unique": True, "collation": {"locale": "en"}}, "its collation differs", 'dropIndex("email_1")'),
        (
            {"unique": True, "partialFilterExpression": {"email": {"$exists": True}}},
            "its partialFilterExpression differs",
            'dropIndex("email_1")',
        ),
    ],
)
def test_an_index_with_wrong_options_is_found(old_users, fault_of, options, what, advice):
    make_all_but_one_index(old_users)
    old_users.create_index("email", name="email_1", **options)
    message = fault_of("indexes")
    assert what in message
    assert advice in message


def test_a_wrong_lifetime_of_throttle_counts_is_found(mongo, users, fault_of):
    counts = mongo.get_default_database()["throttles"]
    counts.drop()
    counts.create_index("expireAt", name="expireAt_1", expireAfterSeconds=3600)
    assert "throttles.expireAt_1 is wrong: its expireAfterSeconds differs" in fault_of("indexes")
    counts.drop_indexes()
    counts.create_index("expireAt", name="expireAt_1", expireAfterSeconds=0)


def test_an_empty_database_only_lacks_indexes(mongo, doctor, settings):
    uri = settings.mongo_uri.replace("?", "_empty?")
    status, found = doctor(MONGO_URI=uri)
    assert status == 1
    assert {name for name, findings in found.items() if "fault" in {state for state, _, _ in findings}} == {"indexes"}
    assert f"{mongo.get_default_database().name}_empty" not in mongo.list_database_names()


def test_an_additional_index_is_accepted(users, doctor):
    users.create_index("last_name")
    assert doctor()[0] == 0
    users.drop_index("last_name_1")


@pytest.mark.parametrize("email", ["straße@example.com", "γιώργος@example.com", "ada@example.com "])
def test_an_address_in_another_form_is_found(users, fault_of, email):
    users.insert_one(fastapi_user(email=email))
    assert fault_of("addresses").startswith("1 of 1 e-mail addresses are not in canonical form")


@pytest.mark.parametrize(
    "emails", [("ada@example.com", "Ada@Example.com"), ("asse@example.com", "aße@example.com")], ids=["lower", "folded"]
)
def test_an_address_in_two_spellings_is_found(users, doctor, emails):
    pair = [fastapi_user(email=email) for email in emails]
    users.insert_many([*pair, fastapi_user(email="grace@example.com")])
    status, found = doctor()
    assert status == 1
    [message] = [message for state, message, _ in found["addresses"] if "more than one user" in message]
    assert "1 e-mail address belongs to more than one user" in message
    assert all(user["_id"] in message for user in pair)
    assert "a…@example.com" in message


def test_only_some_of_many_shared_addresses_are_listed(users, doctor):
    users.insert_many(fastapi_user(email=f"user{n}@example.com") for n in range(200))
    users.insert_many(fastapi_user(email=f"USER{n}@example.com") for n in range(200))
    [message] = [message for _, message, _ in doctor()[1]["addresses"] if "more than one user" in message]
    assert message.startswith("200 e-mail addresses belong to more than one user")
    assert message.endswith("; and 190 more.")


def test_users_without_an_address_are_found(users, fault_of):
    users.insert_one(user := fastapi_user(email=None))
    assert user["_id"] in fault_of("addresses")


def test_a_weak_write_concern_in_the_uri_is_found(fault_of, settings):
    message = fault_of("write_concern", MONGO_URI=f"{settings.mongo_uri}&w=1&journal=false")
    assert "w=1 and journal=false" in message
    assert "use w=majority" in message


@pytest.mark.parametrize(
    ("options", "state"),
    [
        *(("w=0", State.FAULT), ("W=1", State.FAULT), ("journal=false", State.FAULT), ("w=1&tls=true", State.FAULT)),
        *(("w=majority", State.OK), ("w=majority&journal=true", State.OK), ("w=3", State.OK), ("", State.OK)),
    ],
)
def test_which_write_concerns_are_weak(settings, options, state):
    [finding] = checks_of_settings.write_concern(replace(settings, mongo_uri=f"mongodb://localhost/pixora?{options}"))
    assert finding.state is state


@pytest.mark.parametrize(
    ("url", "states"),
    [
        ("http://auth.example.com", [State.OK, State.WARNING]),
        *(("https://auth.example.com", [State.OK]), ("http://localhost:8000", [State.OK]), (None, [State.OK])),
    ],
)
def test_a_public_url_without_tls_is_reported(settings, url, states):
    findings = checks_of_settings.environment(replace(settings, pixora_env="production", public_url=url))
    assert [finding.state for finding in findings] == states


def test_disabled_retryable_writes_are_reported(settings):
    [_, finding] = checks_of_settings.write_concern(
        replace(settings, mongo_uri="mongodb://localhost/pixora?retryWrites=false")
    )
    assert (finding.state, "retryWrites=false" in finding.message) == (State.WARNING, True)


@pytest.mark.parametrize(
    ("uri", "states"),
    [
        ("mongodb://localhost/pixora", ["ok"]),
        ("mongodb://user:hunter2@127.0.0.1:27017,[::1]:27018/pixora", ["ok"]),
        ("mongodb://user:hunter2@%2Ftmp%2Fmongodb-27017.sock/pixora", ["ok"]),
        ("mongodb+srv://user:hunter2@cluster0.example.net/pixora", ["ok"]),
        ("mongodb://user:hunter2@db.example.com/pixora?tls=true", ["ok"]),
        ("mongodb://user:hunter2@db.example.com/pixora?SSL=true", ["ok"]),
        ("mongodb://mongo:27017/pixora?replicaSet=rs0", ["warning"]),
        ("mongodb://user:hunter2@10.0.0.5,10.0.0.6/pixora", ["warning"]),
        ("mongodb://db.example.com/pixora", ["warning"]),
        ("mongodb://user:hunter2@db.example.com/pixora", ["fault"]),
        ("mongodb://user:hunter2@10.0.0.5,db.example.com:27018/pixora", ["fault"]),
        ("mongodb+srv://user:hunter2@cluster0.example.net/pixora?tls=false", ["fault"]),
        ("mongodb://user:hunter2@db.example.com/pixora?tls=true&tlsAllowInvalidCertificates=true", ["fault"]),
        ("mongodb://user:hunter2@db.example.com/pixora?tls=true&tlsInsecure=true", ["fault"]),
    ],
)
def test_unencrypted_connections_are_found(settings, uri, states):
    findings = list(checks_of_settings.uri(replace(settings, mongo_uri=uri)))
    assert [finding.state for finding in findings] == states
    assert "hunter2" not in str(findings)


def test_a_hash_that_is_too_cheap_is_found(users, fault_of):
    users.insert_many([fastapi_user(email="grace@example.com"), fastapi_user(email="ada@example.com")])
    users.insert_one(fastapi_user(email="x@example.com", password=HASH_2B.replace("$04$", "$12$")))
    message = fault_of("hashes", BCRYPT_ROUNDS=12)
    assert "2 of 3 password hashes cost less than BCRYPT_ROUNDS=12 (cost 4: 2)" in message
    assert "upgraded when its owner logs in" in message


@pytest.mark.parametrize(
    "stored",
    [
        "hunter2$argon2id$hunter2",
        "",
        None,
        7,
        HASH_2B[:-1],
        HASH_2B.replace("$04$", "$31$"),
        HASH_2B + "x",
        HASH_2B + "\n",
        HASH_2B.replace("OOQ5EOvO", "OOQ5EPvO"),
        HASH_2B[:-1] + "f",
        ARGON2ID.replace("m=64", "m=99999999"),
        ARGON2ID.replace("t=1", "t=01"),
        ARGON2ID[:-1] + "1",
        ARGON2ID[:-30],
        "$hunter2$",
    ],
)
def test_a_malformed_hash_is_found_and_not_shown(users, fault_of, stored):
    users.insert_one(fastapi_user(email="grace@example.com", password=stored))
    message = fault_of("hashes")
    assert "1 of 1 password hashes are malformed" in message
    assert "hunter2" not in message


def test_a_hash_that_costs_more_than_new_ones_is_found(users, doctor):
    users.insert_one(fastapi_user(email="grace@example.com", password=HASH_2B.replace("$04$", "$06$")))
    status, found = doctor()
    assert status == 0
    assert "1 of 1 password hashes cost more than BCRYPT_ROUNDS=4 (cost 6: 1)" in found["hashes"][0][1]


def test_imported_hashes_are_reported(users, doctor):
    users.insert_one(fastapi_user(email="grace@example.com", password=ARGON2ID))
    status, found = doctor()
    assert status == 0
    assert found["hashes"][0][:2] == ("warning", "1 of 1 password hashes are not bcrypt (argon2id: 1).")


@pytest.fixture
def without_password(users):
    """One user has a password, two have removed it, and one is invited."""
    now, none = clock.utcnow(), fastapi_user()
    del none["password"]
    states = {"ada": {}, "grace": {"password_removed_at": now}, "mary": {"password_removed_at": now}}
    states |= {"guest": {"invited_at": now}}
    for name, state in states.items():
        user = fastapi_user() if name == "ada" else none
        users.insert_one(user | {"_id": f"{name:0>24}", "email": f"{name}@example.com"} | state)


def test_users_who_have_removed_their_password_are_counted(without_password, doctor):
    status, found = doctor()
    assert status == 0
    assert [finding[1] for finding in found["hashes"]] == [
        "Users who log in with passkeys only: 2.",
        "Of 1 password hashes, none costs less than BCRYPT_ROUNDS=4.",
    ]


def test_where_passkeys_are_turned_off_these_users_are_a_fault(without_password, fault_of):
    message = fault_of("hashes", WEBAUTHN_ORIGINS=[])
    assert "cannot log in without WEBAUTHN_ORIGINS: 2. → Set WEBAUTHN_ORIGINS again." in message


def test_a_sample_of_very_many_hashes_is_checked(users, doctor, monkeypatch):
    monkeypatch.setattr(hash_census, "MOST_COUNTED", 10)
    monkeypatch.setattr(hash_census, "SAMPLE", 15)
    users.insert_many(fastapi_user(email=f"user{number}@example.com") for number in range(20))
    assert "a sample of 15" in doctor()[1]["hashes"][0][1]


def test_an_unreachable_database_is_found_and_skips_dependent_checks(doctor):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    status, found = doctor(MONGO_URI=uri, DATABASE_TIMEOUT_MS=200)
    assert status == 1
    assert found["database"][0][:2] == ("fault", "The database does not answer (unreachable).")
    assert found["indexes"] == [("unknown", "Could not be checked: see database.", "")]


def test_rejected_credentials_are_found_and_not_shown(run, settings):
    uri = settings.mongo_uri.replace("mongodb://", "mongodb://operator:hunter2@") + "&authSource=admin"
    result = run("doctor", MONGO_URI=uri)
    assert result.exit_code == 1
    assert "The database does not answer (unauthorized)" in result.stdout
    assert "hunter2" not in result.output
    assert "operator" not in result.output


def test_a_public_url_that_is_not_a_trusted_host_is_found(fault_of):
    message = fault_of("environment", PUBLIC_URL="http://localhost:9", TRUSTED_HOSTS=["other.example.com"])
    assert "Add localhost to TRUSTED_HOSTS" in message


def test_clocks_may_differ_by_the_leeway_of_tokens(doctor, move_clock):
    move_clock(seconds=clock.LEEWAY_SECONDS - 2)
    _, found = doctor()
    assert [state for state, _, _ in found["clock"]] == ["ok"]


@pytest.mark.parametrize("seconds", [-90, 90])
def test_different_clocks_are_found_and_what_they_break(fault_of, move_clock, seconds):
    move_clock(seconds=seconds)
    message = fault_of("clock")
    assert "90 seconds apart" in message
    assert "codes of authenticator apps may be refused" in message
    assert "NTP" in message


def test_overdue_emails_are_found(users, doctor, fault_of):
    with smtp_server.running(free_port()) as server:
        email = {"id": "1", "due_at": clock.utcnow() - timedelta(hours=1)}
        users.insert_one(fastapi_user(email="grace@example.com", letters=[email]))
        mail = {"SMTP_URL": server.url, "MAIL_FROM": "a@example.com"}
        assert "mail send --watch" in fault_of("outbox", **mail)
    assert doctor()[1]["outbox"][0][0] == "warning"  # without SMTP_URL no e-mail is ever sent


def test_unfinished_erasures_are_found(mongo, fault_of):
    notes = mongo.get_default_database()["erasures"]
    notes.insert_one({"at": clock.utcnow() - timedelta(days=1)})
    assert "Unfinished erasures: 1." in fault_of("erasures")
    notes.delete_many({})


def test_an_email_that_has_just_become_due_is_not_overdue(users, doctor):
    users.insert_one(fastapi_user(email="grace@example.com", letters=[{"id": "1", "due_at": clock.utcnow()}]))
    assert doctor()[1]["outbox"][0][0] == "ok"


def test_the_smtp_server_is_checked_without_sending_an_email(doctor):
    with smtp_server.running(free_port()) as server:
        assert doctor(SMTP_URL=server.url, MAIL_FROM="a@example.com")[1]["smtp"][0][0] == "ok"
        assert server.received == []
        assert server.offered == 0


def test_an_unreachable_smtp_server_is_found(fault_of):
    url = f"smtp://user:hunter2@127.0.0.1:{free_port()}"
    message = fault_of("smtp", SMTP_URL=url, MAIL_FROM="a@example.com")
    assert "(connection)" in message
    assert "hunter2" not in message


@pytest.fixture
def key_directory(tmp_path):
    path = tmp_path / "keys"
    path.mkdir(mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (path / "2026.pem").write_bytes(pem)
    (path / "2026.pem").chmod(0o600)
    return path


def test_the_signing_key_is_reported(doctor, key_directory):
    found = doctor(JWT_SECRET_KEY=None, JWT_KEY_DIR=str(key_directory))[1]
    assert found["signing_key"] == [("ok", "2026 signs the access tokens.", "")]


def test_a_missing_key_is_found(fault_of, key_directory):
    (key_directory / "2026.pem").unlink()
    assert "keys generate" in fault_of("signing_key", JWT_SECRET_KEY=None, JWT_KEY_DIR=str(key_directory))


def test_keys_that_others_can_read_or_add_are_found(fault_of, key_directory):
    (key_directory / "2026.pem").chmod(0o644)
    assert "chmod 600 2026.pem" in fault_of("signing_key", JWT_SECRET_KEY=None, JWT_KEY_DIR=str(key_directory))
    (key_directory / "2026.pem").chmod(0o600)
    key_directory.chmod(0o777)
    assert "chmod o-w" in fault_of("signing_key", JWT_SECRET_KEY=None, JWT_KEY_DIR=str(key_directory))


@pytest.fixture
def shell(settings):
    """Run the doctor, or another command, as a shell does, in production with some of the environment changed."""

    def shell(*arguments, command=("doctor",), **changes):
        environment = {
            "PATH": os.environ["PATH"],
            "MONGO_URI": settings.mongo_uri,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "BCRYPT_ROUNDS": "10",
        }
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *command, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment | changes, capture_output=True, text=True, timeout=60)

    return shell


def test_strong_secrets_are_accepted_in_production(users, indexed, shell):
    result = shell()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ok       secrets: The secrets are long and hard to guess." in result.stdout


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
def test_a_secret_that_is_too_short_is_found(fault_of, name):
    message = fault_of("secrets", **{name: "hunter2" * 4})
    assert f"{name} has fewer than 32 bytes" in message
    assert "→ Make one with: python3 -c" in message
    assert "hunter2" not in message


def test_a_configuration_with_which_nothing_starts_is_reported(shell):
    result = shell("--json", SECRET_KEY="hunter2", JWT_SECRET_KEY="hunter2hunter2")
    assert result.returncode == 1
    *findings, rest = json.loads(result.stdout)["checks"]
    for name, finding in zip(("JWT_SECRET_KEY", "SECRET_KEY"), findings, strict=True):
        assert finding["state"] == "fault"
        assert finding["message"].startswith(f"{name}: Must have at least 32 bytes. Make one with: ")
    assert rest["state"] == "unknown"
    assert "hunter2" not in result.stdout + result.stderr


def test_an_unusable_key_file_is_found(shell, tmp_path):
    (tmp_path / "1.pem").write_text("hunter2")
    result = shell(JWT_SECRET_KEY="", JWT_KEY_DIR=str(tmp_path))
    assert result.returncode == 1
    assert "JWT_KEY_DIR: 1.pem is not an unencrypted PEM file of a key" in result.stdout
    assert "hunter2" not in result.stdout + result.stderr


def test_help_is_printed_without_a_valid_configuration():
    app = app_with_doctor_only("SECRET_KEY is weak.", {"SECRET_KEY": ["Is weak."]})
    result = app.test_cli_runner().invoke(args=["doctor", "--help"])
    assert result.exit_code == 0
    assert "Diagnose the configuration" in result.stdout


@pytest.mark.parametrize("arguments", [["users", "show", "doctor"], ["run"], ["no-such-command"]])
def test_no_other_command_runs_without_a_valid_configuration(shell, arguments):
    result = shell(command=arguments, SECRET_KEY="hunter2")
    assert (result.returncode, result.stdout) == (os.EX_CONFIG, "")
    assert "  SECRET_KEY: Must have at least 32 bytes." in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("url", ["auth.example.com", "ftp://auth.example.com", "https://auth.example.com/api"])
def test_a_malformed_url_is_refused(run, url):
    assert run("doctor", "--url", url).exit_code == 2


def test_a_check_that_fails_or_hangs_does_not_affect_the_others(app):
    def fails():
        raise RuntimeError("mongodb://user:hunter2@db")

    checks = {
        "slow": Check(lambda: time.sleep(2), 0.05),
        "broken": Check(fails),
        "faulty": Check(lambda: [fault("Bad.", "Mend it.")]),
        "later": Check(lambda: [ok("Good.")], after="faulty"),
        "last": Check(lambda: [ok("Good.")], after="slow"),
    }
    found = dict(examine(app, checks))
    assert [finding.state for finding in found.values()] == [
        *(State.UNKNOWN, State.UNKNOWN, State.FAULT, State.UNKNOWN, State.OK)
    ]
    assert "hunter2" not in str(found)
