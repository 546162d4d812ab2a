import base64
import json
import logging
import secrets
import stat

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pixora.tokens import keys
from tests.conftest import make_account

PRIVATE = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


def pem(key, encryption=None):
    if hasattr(key, "private_bytes"):
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
        )
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "keys"
    path.mkdir()
    return path


@pytest.fixture
def follow_at_once(monkeypatch):
    """Look at the files at every request and not every few seconds."""
    monkeypatch.setattr(keys, "CHECK_SECONDS", 0)


@pytest.fixture
def make_client(make_app, directory, follow_at_once):
    """A client of an application with the keys in the directory."""
    return lambda: make_app(JWT_SECRET_KEY=None, JWT_KEY_DIR=str(directory)).test_client()


def get_me(client, token):
    return client.get("/api/users/me", headers={"Authorization": f"Bearer {token}"}).status_code


def refresh(client, token):
    return client.post("/api/auth/refresh", data={"grant_type": "refresh_token", "refresh_token": token})


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_the_kind_of_key_says_the_algorithm(make_client, directory, algorithm):
    (directory / "2026-11.pem").write_bytes(pem(PRIVATE[algorithm]))
    client = make_client()
    account = make_account(client)
    header = jwt.get_unverified_header(account.token)
    assert (header["alg"], header["kid"]) == (algorithm, "2026-11")
    assert get_me(client, account.token) == 200


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_another_service_verifies_with_the_published_keys(make_client, directory, algorithm):
    (directory / "2026-11.pem").write_bytes(pem(PRIVATE[algorithm]))
    client = make_client()
    account = make_account(client)
    published = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json)
    claims = jwt.decode(account.token, published["2026-11"], audience="pixora", issuer="pixora")
    assert claims["sub"] == account.id


def test_published_keys_hold_nothing_private(make_client, directory):
    for name, key in PRIVATE.items():
        (directory / f"{name}.pem").write_bytes(pem(key))
    published = make_client().get("/.well-known/jwks.json").json["keys"]
    assert [(key["kid"], key["alg"], key["use"]) for key in published] == [
        ("ES256", "ES256", "sig"),
        ("EdDSA", "EdDSA", "sig"),
        ("RS256", "RS256", "sig"),
    ]
    assert not {"d", "p", "q", "dp", "dq", "qi", "k", "oth"} & {member for key in published for member in key}


def test_the_last_private_key_by_name_signs_and_every_key_verifies(make_client, directory):
    (directory / "1.pem").write_bytes(pem(PRIVATE["RS256"]))
    client = make_client()
    account = make_account(client)
    (directory / "2.pem").write_bytes(pem(PRIVATE["ES256"]))
    (directory / "3.pem").write_bytes(pem(PRIVATE["EdDSA"].public_key()))
    assert get_me(client, account.token) == 200
    renewed = refresh(client, account.refresh_token).json
    assert jwt.get_unverified_header(renewed["access_token"])["kid"] == "2"
    assert get_me(client, renewed["access_token"]) == 200


def test_a_retired_key_s_tokens_are_refused_while_the_session_still_refreshes(make_client, directory):
    (directory / "1.pem").write_bytes(pem(PRIVATE["RS256"]))
    client = make_client()
    account = make_account(client)
    assert get_me(client, account.token) == 200  # and remembered
    (directory / "2.pem").write_bytes(pem(PRIVATE["ES256"]))
    (directory / "1.pem").unlink()
    assert get_me(client, account.token) == 401
    renewed = refresh(client, account.refresh_token)
    assert renewed.status_code == 200
    assert get_me(client, renewed.json["access_token"]) == 200


def test_a_public_key_is_no_secret_to_sign_with(make_client, directory):
    (directory / "1.pem").write_bytes(pem(PRIVATE["RS256"]))
    client = make_client()
    account = make_account(client)
    public = pem(PRIVATE["RS256"].public_key())
    _, claims, _ = account.token.split(".")
    header = (
        base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "1", "typ": "JWT"}).encode()).decode().rstrip("=")
    )
    import hmac  # noqa: PLC0415  # beside its one use: PyJWT refuses to sign with a public key

    signature = (
        base64.urlsafe_b64encode(hmac.digest(public, f"{header}.{claims}".encode(), "sha256")).decode().rstrip("=")
    )
    assert get_me(client, f"{header}.{claims}.{signature}") == 401


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("garbage.pem", b"garbage"),
        ("empty.pem", b""),
        ("p384.pem", pem(ec.generate_private_key(ec.SECP384R1()))),
        ("small.pem", pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))),
        ("encrypted.pem", pem(PRIVATE["ES256"], serialization.BestAvailableEncryption(b"x"))),
        ("half.pem", pem(PRIVATE["RS256"])[:700]),
        ("a name.pem", pem(PRIVATE["ES256"])),
    ],
)
def test_a_key_file_that_cannot_be_used_stops_the_start_with_a_sentence(make_client, directory, name, data):
    (directory / name).write_bytes(data)
    with pytest.raises(keys.KeyFault, match=name.replace(".", r"\.")) as caught:
        make_client()
    assert "BEGIN" not in str(caught.value)


def test_a_link_to_no_key_file_stops_the_start_with_a_sentence_and_a_running_service_ignores_it(
    make_client, directory, capture_logs
):
    (directory / "2.pem").symlink_to("nowhere.pem")
    with pytest.raises(keys.KeyFault, match=r"2\.pem"):
        make_client()
    (directory / "2.pem").unlink()
    (directory / "1.pem").write_bytes(pem(PRIVATE["ES256"]))
    client = make_client()
    account = make_account(client)
    with capture_logs() as lines:
        (directory / "2.pem").symlink_to("nowhere.pem")
        assert get_me(client, account.token) == 200
    assert [line["event"] for line in lines if line.get("event", "").startswith("key")] == [
        "key_ignored",
        "keys_changed",
    ]


@pytest.mark.parametrize("data", [b"", b"garbage", pem(PRIVATE["ES256"])[:60]])
def test_a_running_service_ignores_a_broken_key_file_with_an_error_line(make_client, directory, capture_logs, data):
    (directory / "1.pem").write_bytes(pem(PRIVATE["ES256"]))
    client = make_client()
    account = make_account(client)
    with capture_logs() as lines:
        (directory / "2.pem").write_bytes(data)
        assert get_me(client, account.token) == 200
        assert refresh(client, account.refresh_token).status_code == 200
    [line] = [line for line in lines if line.get("event") == "key_ignored"]
    assert line["level"] == "ERROR"
    assert "2.pem" in line["message"]


def test_a_key_whose_file_breaks_stays_in_force(make_client, directory):
    (directory / "1.pem").write_bytes(pem(PRIVATE["ES256"]))
    client = make_client()
    account = make_account(client)
    (directory / "1.pem").write_bytes(b"")
    assert get_me(client, account.token) == 200


def test_a_directory_that_is_emptied_changes_nothing(make_client, directory, capture_logs):
    (directory / "1.pem").write_bytes(pem(PRIVATE["ES256"]))
    client = make_client()
    account = make_account(client)
    with capture_logs() as lines:
        (directory / "1.pem").unlink()
        assert get_me(client, account.token) == 200
        directory.rmdir()
        assert get_me(client, account.token) == 200
    assert {line["event"] for line in lines} == {"keys_failed"}


def test_the_files_are_looked_at_every_few_seconds_and_not_at_every_request(make_app, directory, monkeypatch):
    (directory / "1.pem").write_bytes(pem(PRIVATE["ES256"]))
    looks = []
    look = keys._snapshot
    monkeypatch.setattr(keys, "_snapshot", lambda path: looks.append(path) or look(path))
    monkeypatch.setattr(keys, "CHECK_SECONDS", 3600)
    client = make_app(JWT_SECRET_KEY=None, JWT_KEY_DIR=str(directory)).test_client()
    account = make_account(client)
    for _ in range(20):
        assert get_me(client, account.token) == 200
    assert len(looks) == 1


def test_a_secret_is_not_published(client):
    assert client.get("/.well-known/jwks.json").json == {"keys": []}


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"])
def test_the_well_known_documents_may_be_kept_for_minutes_and_asked_for_again(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "public, max-age=300"
    again = client.get(path, headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""


def test_the_metadata_says_where_everything_is(make_app):
    client = make_app(PUBLIC_URL="https://auth.example.com", JWT_ISSUER="https://auth.example.com").test_client()
    metadata = client.get("/.well-known/oauth-authorization-server").json
    assert metadata["issuer"] == "https://auth.example.com"
    assert metadata["token_endpoint"] == "https://auth.example.com/api/auth/token"
    assert metadata["jwks_uri"] == "https://auth.example.com/.well-known/jwks.json"
    assert metadata["grant_types_supported"] == ["password", "refresh_token"]


@pytest.fixture
def command(make_app, directory):
    """Run ``flask keys …`` in an application with the directory, or without."""

    def command(*arguments, key_dir=directory):
        app = make_app(
            JWT_SECRET_KEY=None if key_dir else secrets.token_urlsafe(), JWT_KEY_DIR=key_dir and str(key_dir)
        )
        logging.getLogger().handlers.clear()
        return app.test_cli_runner().invoke(args=["keys", *arguments])

    return command


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_generate_makes_a_key_that_signs_and_only_its_owner_can_read(command, directory, make_client, algorithm):
    result = command("generate", "--algorithm", algorithm)
    assert result.exit_code == 0
    [path] = directory.iterdir()
    assert result.output == f"{path.stem} signs from now on.\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = make_client()
    assert jwt.get_unverified_header(make_account(client).token) == {
        "alg": algorithm,
        "kid": path.stem,
        "typ": "at+jwt",
    }


def test_list_marks_the_key_that_signs(command, directory):
    for name, key in (("1", PRIVATE["RS256"]), ("2", PRIVATE["ES256"]), ("3", PRIVATE["EdDSA"].public_key())):
        (directory / f"{name}.pem").write_bytes(pem(key))
    assert command("list").output == "1  RS256  verify\n2  ES256  sign\n3  EdDSA  verify\n"
    assert json.loads(command("list", "--json").output)[1] == {"kid": "2", "algorithm": "ES256", "use": "sign"}


def test_retire_deletes_a_key(command, directory):
    (directory / "1.pem").write_bytes(pem(PRIVATE["RS256"]))
    (directory / "2.pem").write_bytes(pem(PRIVATE["ES256"]))
    assert command("retire", "1").exit_code == 0
    assert [path.name for path in directory.iterdir()] == ["2.pem"]


def test_keys_that_come_and_go_are_in_the_audit_trail(command, directory, trail):
    (directory / "1.pem").write_bytes(pem(PRIVATE["RS256"]))
    kid = command("generate").output.split()[0]
    command("retire", "1")
    made, retired = trail.find(sort=[("at", 1)])
    assert (made["event"], made["details"]) == ("key_generated", {"kid": kid, "algorithm": "ES256"})
    assert (retired["event"], retired["details"]) == ("key_retired", {"kid": "1"})
    assert {row["by"] for row in (made, retired)} == {"command"}


@pytest.mark.parametrize("kid", ["2", "../1", "missing", ""])
def test_retire_leaves_a_key_to_sign_with_and_knows_no_paths(command, directory, kid):
    (directory / "2.pem").write_bytes(pem(PRIVATE["ES256"]))
    (directory / "3.pem").write_bytes(pem(PRIVATE["EdDSA"].public_key()))
    result = command("retire", kid)
    assert result.exit_code == 1
    assert len(list(directory.iterdir())) == 2


@pytest.mark.parametrize("arguments", [["generate"], ["list"], ["retire", "1"]])
def test_without_a_directory_the_commands_say_so(command, arguments):
    result = command(*arguments, key_dir=None)
    assert result.exit_code == 1
    assert "JWT_KEY_DIR is not set" in result.output
