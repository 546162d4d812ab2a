"""A database as Atlas has it: TLS required, users with passwords, their URI full of secrets."""

import json
import secrets
import time
from urllib.parse import quote, urlencode

import pymongo
import pytest
from mongod import REPLICA_SET, Mongod

import config
from tests.authority import Authority
from tests.conftest import make_account
from tests.documents import blocks
from tests.factories import PASSWORD, log_in, sign_up
from tests.timeouts import SOON

USER = "pixora@example.com"
DATABASE_PASSWORD = "p@ss:w/rd?#[%]&é"  # every character here that a URI has another use for


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def atlas(authority, tmp_path_factory):
    """A mongod that speaks TLS only, with one user, who may read and write."""
    key_file = authority.folder / "replica-set.key"
    key_file.touch(mode=0o600)
    key_file.write_text(secrets.token_hex(32))  # members know each other by it; it also turns authentication on
    trust = {"tls": True, "tlsCAFile": str(authority.path)}
    mongod = Mongod(
        tmp_path_factory.mktemp("atlas"),
        binary=config.mongod(),
        arguments=[
            *("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(authority.issue())),
            *("--keyFile", str(key_file)),
        ],
        client_options=trust,
    )
    with mongod:
        # The first user may be made without being one, from the same machine.
        with pymongo.MongoClient("127.0.0.1", mongod.port, directConnection=True, **trust) as client:
            roles = ["readWriteAnyDatabase", "dbAdminAnyDatabase", "userAdminAnyDatabase"]
            client.admin.command("createUser", USER, pwd=DATABASE_PASSWORD, roles=roles)
        yield mongod


def uri(mongod, password=DATABASE_PASSWORD, **options):
    """Return the URI in the form that Atlas gives out."""
    credentials = f"{quote(USER, safe='')}:{quote(password, safe='')}"
    query = urlencode({"authSource": "admin", "replicaSet": REPLICA_SET, "tls": "true"} | options)
    return f"mongodb://{credentials}@127.0.0.1:{mongod.port}/pixora?{query}"


@pytest.fixture
def trusting(authority):
    """The option of a client that trusts the authority."""
    return {"tlsCAFile": str(authority.path)}


def assert_secret(*told):
    """Nothing of what was told holds the password, nor the place for credentials in a URI."""
    for text in map(str, told):
        for secret in (DATABASE_PASSWORD, quote(DATABASE_PASSWORD, safe=""), quote(USER, safe=""), "mongodb://"):
            assert secret not in text


def test_the_four_calls_work(make_app, atlas, trusting, capture_logs):
    client = make_app(MONGO_URI=uri(atlas, **trusting)).test_client()
    with capture_logs() as lines:
        account = make_account(client)  # signs up and logs in
        me = client.get("/api/users/me", headers=account.bearer)
        same = client.get(f"/api/users/{account.id}", headers=account.bearer)
        health = client.get("/health")
    assert me.json["email"] == account.email
    assert same.json == me.json
    assert health.json == {"status": "healthy", "database": "connected"}
    assert_secret(lines, me.text, health.text)


def test_the_role_of_the_documentation_is_enough(make_app, atlas, trusting):
    [block] = [block for block in blocks("json") if "createRole" in block.text]
    with pymongo.MongoClient(uri(atlas, **trusting)) as client:
        pixora = client.get_database("pixora")
        pixora.command(json.loads(block.text))
        pixora.command("createUser", "least", pwd=DATABASE_PASSWORD, roles=["pixora"])
        for name in pixora.list_collection_names():
            pixora.drop_collection(name)
    least = f"mongodb://least:{quote(DATABASE_PASSWORD, safe='')}@127.0.0.1:{atlas.port}/pixora?tls=true"
    make_app(MONGO_URI=f"{least}&{urlencode(trusting)}", AUDIT_DAYS=400).test_client().get("/health")
    app = make_app(MONGO_URI=f"{least}&{urlencode(trusting)}")
    client = app.test_client()
    account = make_account(client)
    assert client.post("/api/auth/password-reset", json={"email": "nobody@example.com"}).status_code == 202
    assert client.get("/health").status_code == 200
    assert client.get("/api/users/me", headers=account.bearer).status_code == 200
    assert client.delete("/api/users/me", headers=account.bearer, json={"password": PASSWORD}).status_code == 204
    with pymongo.MongoClient(uri(atlas, **trusting)) as admin:
        admin.pixora.command("collMod", "throttles", index={"name": "expireAt_1", "expireAfterSeconds": 5})
        for command in (["mail", "show"], ["db", "upgrade"]):
            assert app.test_cli_runner().invoke(args=command).exit_code == 0
        assert admin.pixora.throttles.index_information()["expireAt_1"]["expireAfterSeconds"] == 0
        assert kept(admin) == 365
    assert "unauthorized" not in app.test_cli_runner().invoke(args=["doctor"]).output


def kept(client):
    """Return for how many days the audit trail is kept."""
    seconds = client.get_database("pixora")["audit"].index_information()["at_1"]["expireAfterSeconds"]
    return seconds / 24 / 3600


def test_without_the_right_to_change_an_index_the_service_serves_and_keeps_rows_as_before(
    make_app, atlas, trusting, capture_logs
):
    with pymongo.MongoClient(uri(atlas, **trusting)) as admin:
        pixora = admin.get_database("pixora")
        pixora.command("createUser", "writer", pwd=DATABASE_PASSWORD, roles=["readWrite"])
        credentials = f"writer:{quote(DATABASE_PASSWORD, safe='')}"
        writer = f"mongodb://{credentials}@127.0.0.1:{atlas.port}/pixora?tls=true&{urlencode(trusting)}"
        pixora.drop_collection("audit")
        for days in (365, 30):
            client = make_app(MONGO_URI=writer, AUDIT_DAYS=days).test_client()
            with capture_logs() as lines:
                assert client.get("/health").status_code == 200
            assert kept(admin) == 365
    [line] = lines
    assert line["event"] == "indexes_unchanged"
    assert "audit.at_1" in line["message"]


def test_without_the_right_to_change_an_index_an_upgrade_says_which_it_is(make_app, atlas, trusting):
    with pymongo.MongoClient(uri(atlas, **trusting)) as admin:
        admin.drop_database("old")
        admin.old["users"].create_index("email")
        admin.old.command("createUser", "old", pwd=DATABASE_PASSWORD, roles=["readWrite"])
    credentials = f"old:{quote(DATABASE_PASSWORD, safe='')}"
    app = make_app(MONGO_URI=f"mongodb://{credentials}@127.0.0.1:{atlas.port}/old?tls=true&{urlencode(trusting)}")
    result = app.test_cli_runner().invoke(args=["db", "upgrade", "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert "privilege collMod on users" in told["indexes"]["advice"]["users.email_1"]
    assert "throttles.expireAt_1" in told["indexes"]["made"]


def test_a_wrong_database_password_is_answered_as_no_database_and_told_to_nobody(
    make_app, atlas, trusting, capture_logs
):
    client = make_app(MONGO_URI=uri(atlas, DATABASE_PASSWORD + "x", **trusting), DATABASE_TIMEOUT_MS=1000).test_client()
    with capture_logs() as lines:
        signup = sign_up(client)
        login = log_in(client)
        health = client.get("/health")
    assert (signup.status_code, signup.json["code"]) == (503, "database_unavailable")
    assert (login.status_code, login.json["code"]) == (503, "database_unavailable")
    assert (health.status_code, health.json) == (503, {"status": "unhealthy", "database": "unauthorized"})
    assert len(lines) >= 3
    assert {line["reason"] for line in lines} == {"unauthorized"}
    assert_secret(lines, signup.text, login.text, health.text)


def test_a_server_that_cannot_be_trusted_is_answered_as_no_database_within_the_deadline(make_app, atlas, capture_logs):
    client = make_app(MONGO_URI=uri(atlas), DATABASE_TIMEOUT_MS=1000).test_client()
    with capture_logs() as lines:
        start = time.monotonic()
        signup = sign_up(client)
        duration = time.monotonic() - start
        health = client.get("/health")
    assert (signup.status_code, signup.json["code"]) == (503, "database_unavailable")
    assert duration < SOON
    assert (health.status_code, health.json["database"]) == (503, "unreachable")
    assert any("certificate verify failed" in line.get("cause", "") for line in lines)
    assert_secret(lines, signup.text, health.text)
