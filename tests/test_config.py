import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

import config

ROOT = Path(__file__).resolve().parent.parent

GOOD = {
    "MONGO_URI": "mongodb://db.example.com/pixora",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "JWT_SECRET_KEY": secrets.token_urlsafe(48),
}

LETTERS = {"PUBLIC_URL": "https://auth.example.com", "MAIL_FROM": "Example <no-reply@example.com>"}


@pytest.fixture
def load(monkeypatch):
    """Load the configuration from just these variables."""

    def load(**environment):
        for name in list(config.os.environ):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return config.load()

    return load


@pytest.fixture
def faults(load):
    """The variables, and what is said of them, when the configuration is refused."""

    def faults(**environment):
        with pytest.raises(config.ConfigError) as caught:
            load(**environment)
        return caught.value.faults

    return faults


def test_production_is_the_default_and_starts_with_a_database_and_strong_secrets(load):
    settings = load(**GOOD)
    assert settings["PIXORA_ENV"] == "production"
    assert settings["TESTING"] is False
    assert settings["JWT_ACCESS_TOKEN_EXPIRES"] == 900
    assert settings["BCRYPT_ROUNDS"] == 12
    assert settings["MAX_CONTENT_LENGTH"] == 16384
    assert settings["GUNICORN_THREADS"] == 64
    assert settings["THROTTLE_LOGIN_PER_ACCOUNT_AND_IP"] == "10 per 15 minute"
    assert settings["THROTTLE_LOGIN_PER_ACCOUNT"] == "100 per hour"
    assert settings["THROTTLE_LOGIN_PER_IP"] == "60 per 15 minute"
    assert settings["THROTTLE_SIGNUP_PER_IP"] == "20 per hour"
    assert settings["THROTTLE_MAIL_PER_ACCOUNT"] == "5 per hour"
    assert settings["REQUIRE_VERIFIED_EMAIL"] is settings["ENUMERATION_SAFE"] is False
    assert settings["TRUSTED_HOSTS"] is None
    assert settings["CORS_ORIGINS"] == []


def test_production_names_each_setting_that_is_missing(faults):
    assert set(faults()) == {"MONGO_URI", "SECRET_KEY", "JWT_SECRET_KEY"}


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
@pytest.mark.parametrize(
    "secret", ["", "short", "x" * 31, "x" * 64, "changeme" * 8, "passwordpasswordpasswordpasswordpassword"]
)
def test_production_refuses_a_weak_secret(faults, name, secret):
    assert set(faults(**GOOD | {name: secret})) == {name}


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_a_weak_secret_will_do_elsewhere(load, environment):
    assert load(**GOOD | {"PIXORA_ENV": environment, "SECRET_KEY": "x", "JWT_SECRET_KEY": "x"})["SECRET_KEY"] == "x"


def test_production_refuses_one_secret_for_both_uses(faults):
    assert set(faults(**GOOD | {"SECRET_KEY": GOOD["JWT_SECRET_KEY"]})) == {"SECRET_KEY"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIXORA_ENV", "prod"),
        ("PIXORA_ENV", "Development"),
        ("MONGO_URI", "localhost:27017/pixora"),
        ("MONGO_URI", "mongodb://"),
        ("MONGO_URI", "mongodb://localhost"),
        ("MONGO_URI", "mongodb://localhost/"),
        ("MONGO_URI", "postgres://localhost/pixora"),
        ("MONGO_URI", "mongodb://user:p@ss/word@host/pixora"),
        ("MONGO_URI", "mongodb://user:p%zz@host/pixora"),
        ("MONGO_URI", "mongodb://host:port/pixora"),
        ("MONGO_URI", "mongodb://a,b/pixora?directConnection=true"),
        ("MONGO_URI", "mongodb://host/pixora?tls=true&tlsCAFile=/nowhere/ca.pem"),
        ("DATABASE_TIMEOUT_MS", "3s"),
        ("DATABASE_TIMEOUT_MS", "0"),
        ("JWT_ACCESS_TOKEN_EXPIRES", "15m"),
        ("JWT_ACCESS_TOKEN_EXPIRES", "0"),
        ("JWT_ISSUER", ""),
        ("BCRYPT_ROUNDS", "9"),
        ("BCRYPT_ROUNDS", "17"),
        ("PASSWORD_MIN_LENGTH", "73"),
        ("PHONE_DEFAULT_REGION", "UK"),
        ("PHONE_DEFAULT_REGION", "gb"),
        ("PROXY_COUNT", "-1"),
        ("PROXY_COUNT", "true"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example.com, b.example.com"),
        ("CORS_ORIGINS", "https://a.example.com/"),
        ("MAX_CONTENT_LENGTH", "16k"),
        ("THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", "ten per minute"),
        ("THROTTLE_LOGIN_PER_ACCOUNT_AND_IP", ""),
        ("THROTTLE_LOGIN_PER_ACCOUNT", "100"),
        ("THROTTLE_LOGIN_PER_ACCOUNT", "100 per fortnight"),
        ("THROTTLE_LOGIN_PER_IP", "0 per hour"),
        ("THROTTLE_LOGIN_PER_IP", "1000001 per hour"),
        ("THROTTLE_LOGIN_PER_IP", "10 per 2 year"),
        ("THROTTLE_SIGNUP_PER_IP", "20 per hour; 5 per minute"),
        ("THROTTLE_SIGNUP_PER_IP", "-1 per hour"),
        ("SMTP_URL", "mail.example.com"),
        ("SMTP_URL", "http://mail.example.com"),
        ("SMTP_URL", "smtp://"),
        ("SMTP_URL", "smtp://mail.example.com:port"),
        ("SMTP_URL", "smtp://mail.example.com:0"),
        ("SMTP_URL", "smtp://mail.example.com/relay"),
        ("SMTP_URL", "smtp://mail.example.com#relay"),
        ("SMTP_URL", "smtp://[::1"),
        ("SMTP_URL", "smtp://mail.example.com?starttls"),
        ("SMTP_URL", "smtp://mail.example.com?starttls=maybe"),
        ("SMTP_URL", "smtp://mail.example.com?tls=never"),
        ("SMTP_URL", "smtps://mail.example.com?starttls=never"),
        ("SMTP_URL", "smtp://user@mail.example.com"),
        ("SMTP_URL", "smtp://user:p%C3%A4ss@mail.example.com"),
        ("SMTP_URL", "smtp://user:pass@mail.example.com?starttls=never"),
        ("MAIL_FROM", "Example"),
        ("MAIL_FROM", "no-reply@localhost"),
        ("MAIL_FROM", "a@example.com, b@example.com"),
        ("MAIL_FROM", "Example <no-reply@example.com> and more"),
        ("MAIL_FROM", "Example <no-reply@example.com>\r\nBcc: eve@example.com"),
        ("THROTTLE_MAIL_PER_ACCOUNT", "many"),
        ("REQUIRE_VERIFIED_EMAIL", "maybe"),
        ("ENUMERATION_SAFE", "2"),
        ("WEB_CONCURRENCY", "0"),
        ("GUNICORN_THREADS", "many"),
    ],
)
def test_a_malformed_value_is_named(faults, name, value):
    assert set(faults(**GOOD | {name: value})) == {name}


@pytest.mark.parametrize(
    "url",
    [
        "smtp://mail.example.com",
        "smtp://user%40example.com:p%3Ass@mail.example.com:2525?starttls=always",
        "smtp://relay?starttls=never",
        "smtp://user:pass@127.0.0.1?starttls=never",
        "smtp://user:pass@localhost?starttls=never",
        "smtps://user:pass@[2001:db8::1]",
        "",
    ],
)
def test_an_smtp_url_may_have_all_that_is_needed(load, url):
    assert (load(**GOOD, SMTP_URL=url, **LETTERS)["SMTP_URL"] or "") == url


@pytest.mark.parametrize(
    "sender", ["no-reply@example.com", "Example <no-reply@example.com>", '"St. John" <a@b.co>', "Ä <a@bücher.example>"]
)
def test_a_sender_may_have_a_name(load, sender):
    assert load(**GOOD, MAIL_FROM=sender)["MAIL_FROM"] == sender


def test_in_production_letters_need_a_sender_and_a_place_for_their_links(faults):
    assert set(faults(**GOOD, SMTP_URL="smtp://mail.example.com")) == set(LETTERS)


def test_in_development_they_do_not(load):
    assert load(**GOOD, SMTP_URL="smtp://localhost:1025", PIXORA_ENV="development")["MAIL_FROM"] is None


@pytest.mark.parametrize("uri", ["mongodb://user:hunter2@x/y@host/db", "mongodb+srv://user:%zzhunter2@host/db"])
def test_a_uri_that_cannot_be_read_is_not_quoted(faults, uri):
    assert "hunter2" not in str(faults(**GOOD | {"MONGO_URI": uri}))


def test_every_fault_is_named_at_once(faults):
    assert set(faults(BCRYPT_ROUNDS="x", PROXY_COUNT="y", MONGO_URI="z")) == {
        *("BCRYPT_ROUNDS", "PROXY_COUNT", "MONGO_URI", "SECRET_KEY", "JWT_SECRET_KEY")
    }


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb+srv://user:p%40ss@cluster0.abcde.mongodb.net/pixora?retryWrites=true&w=majority",
        "mongodb://a.example.com:27017,b.example.com:27017/pixora?replicaSet=rs0",
        "mongodb://localhost/pixora",
    ],
)
def test_any_mongodb_uri_with_a_database_is_taken(load, uri):
    assert load(**GOOD | {"MONGO_URI": uri})["MONGO_URI"] == uri


def test_lists_are_separated_by_commas(load):
    settings = load(
        **GOOD,
        TRUSTED_HOSTS="api.example.com, .example.org",
        CORS_ORIGINS="https://a.example.com,http://localhost:3000",
    )
    assert settings["TRUSTED_HOSTS"] == ["api.example.com", ".example.org"]
    assert settings["CORS_ORIGINS"] == ["https://a.example.com", "http://localhost:3000"]


def test_a_secret_may_be_in_a_file(load, tmp_path):
    (tmp_path / "key").write_text(GOOD["SECRET_KEY"] + "\n")
    environment = {name: value for name, value in GOOD.items() if name != "SECRET_KEY"}
    assert load(**environment, SECRET_KEY_FILE=str(tmp_path / "key"))["SECRET_KEY"] == GOOD["SECRET_KEY"]


def test_a_file_that_cannot_be_read_is_named(faults, tmp_path):
    [sentences] = faults(**GOOD, SECRET_KEY_FILE=str(tmp_path / "missing")).values()
    assert "SECRET_KEY_FILE" in sentences[0]


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import wsgi"],
        ["-m", "flask", "--app", "wsgi", "routes"],
        ["-m", "gunicorn", "--bind", "127.0.0.1:0", "wsgi:app"],
    ],
)
def test_a_program_ends_with_the_faults_and_without_a_traceback(command):
    environment = {"SECRET_KEY": "hunter2", "BCRYPT_ROUNDS": "2", "PATH": "/usr/bin:/bin"}
    run = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
    )
    assert run.returncode == os.EX_CONFIG
    told = run.stdout + run.stderr
    assert "Traceback" not in told
    assert "hunter2" not in told
    for name in ("MONGO_URI", "SECRET_KEY", "JWT_SECRET_KEY", "BCRYPT_ROUNDS"):
        assert told.count(f"  {name}: ") == 1


COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example.com:4318"}


def test_traces_are_wanted_where_there_is_a_collector(load):
    assert load(**GOOD)["TRACING"] is False
    assert load(**GOOD, OTEL_EXPORTER_OTLP_ENDPOINT="")["TRACING"] is False
    assert load(**GOOD, **COLLECTOR)["TRACING"] is True
    assert load(**GOOD, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://c.example.com/v1/traces")["TRACING"] is True
    assert load(**GOOD, **COLLECTOR, OTEL_SDK_DISABLED="true")["TRACING"] is False
    assert load(**GOOD, **COLLECTOR, OTEL_TRACES_EXPORTER="none")["TRACING"] is False


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.instrumentation.flask"])
def test_traces_without_the_packages_are_refused_with_what_to_install(faults, load, monkeypatch, missing):
    find = config.find_spec
    monkeypatch.setattr(config, "find_spec", lambda name: None if name == missing else find(name))
    [sentence] = faults(**GOOD, **COLLECTOR)["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert "pip install --require-hashes -r requirements-tracing.txt" in sentence
    assert load(**GOOD, **COLLECTOR, OTEL_SDK_DISABLED="true")["TRACING"] is False


def test_traces_go_over_http(faults):
    for name, value in (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_EXPORTER", "zipkin")):
        assert set(faults(**GOOD, **COLLECTOR, **{name: value})) == {name}
    for endpoint in ("collector.example.com:4317", "grpc://collector.example.com", "http://"):
        assert set(faults(**GOOD, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)) == {"OTEL_EXPORTER_OTLP_ENDPOINT"}
