import base64
import os
import secrets
import subprocess
import sys
from dataclasses import asdict

import pytest

import config
from tests import ROOT
from tests.conftest import NO_THROTTLES
from tests.factories import log_in, signup_body

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
    assert settings.pixora_env == "production"
    assert settings.testing is False
    assert settings.jwt_access_token_expires == 900
    assert settings.bcrypt_rounds == 12
    assert settings.max_content_length == 16384
    assert settings.gunicorn_threads == 64
    assert settings.throttle_login_per_account_and_ip == "10 per 15 minute"
    assert settings.throttle_login_per_account == "100 per hour"
    assert settings.throttle_login_per_ip == "60 per 15 minute"
    assert settings.throttle_signup_per_ip == "20 per hour"
    assert settings.throttle_mail_per_account == "5 per hour"
    assert settings.require_verified_email is settings.enumeration_safe is False
    assert settings.trusted_hosts is None
    assert settings.cors_origins == []


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
    assert load(**GOOD | {"PIXORA_ENV": environment, "SECRET_KEY": "x", "JWT_SECRET_KEY": "x"}).secret_key == "x"


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
        ("PUBLIC_URL", "https://auth.example.com/"),
        ("PUBLIC_URL", "https://auth.example.com:70000"),
        ("PUBLIC_URL", "https://*.example.com"),
        ("PUBLIC_URL", "https://user:pass@auth.example.com"),
        *(
            ("TRUSTED_HOSTS", value)
            for value in (
                *("https://auth.example.com", "*", "a; b", "auth.example.com/", "auth.example.com, *", "*.com"),
                *("a b", "a,,b", "auth.example.com:http", "auth.example.com:70000", "[::g]", "::1", "a*.example.com"),
                *("-a.example.com", "a..example.com", "*.0.0.1", "bücher.example", "auth.example.com?x", ","),
            )
        ),
        *(
            ("CORS_ORIGINS", value)
            for value in (
                *("null", "https://*", "https://*.com", "https://a.*.com", "https://a*.example.com", "//a.example.com"),
                *(
                    "https://.example.com",
                    "https://user@a.example.com",
                    "https://a.example.com:",
                    "ftp://a.example.com",
                ),
                *("https://a.example.com:70000", "https://a.example.com?x", "https://[::1", "https://bücher.example"),
                *("a.example.com", "https://a.example.com/app", "https://*.*.example.com", "https://a.example.com:0"),
                *("https://a.example.com;https://b.example.com", "https://a.example.com https://b.example.com"),
            )
        ),
        ("CORS_ALLOW_HEADERS", "*"),
        ("CORS_ALLOW_HEADERS", "X-One X-Two"),
        ("CORS_ALLOW_HEADERS", "X-One:"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example.com, b.example.com"),
        ("CORS_ORIGINS", "https://a.example.com/"),
        ("MAIL_TEMPLATES", "/nowhere"),
        *(("DEFAULT_LOCALE", value) for value in ("", "german", "de_DE", "DE", "../de", "de-AT-x")),
        *(("BRAND_COLOR", value) for value in ("blue", "#12", "#12345g", "1d4ed8", "#1d4ed8;color:red")),
        *(
            ("BRAND_LOGO", value)
            for value in (
                *("logo.png", "//example.com/logo.png", "http://example.com/logo.png", "javascript:alert(1)"),
                *("https://", "https://example.com/a b.png", 'https://example.com/"x', "https://example.com/<x>"),
                *("https://user@example.com/logo.png", "https://*.example.com/logo.png", "data:image/png;base64,xx"),
                *("https://example.com/x\ny", "https://example.com:99999/x", "https://bücher.example/x"),
            )
        ),
        *(("RETURN_URL", value) for value in ("/app", "http://app.example.com", "javascript:alert(1)", "https://a b")),
        *(
            (name, value)
            for name in ("LINK_VERIFY_EMAIL", "LINK_RESET_PASSWORD", "LINK_CHANGE_EMAIL", "LINK_INVITATION")
            for value in (
                *("/verify", "http://app.example.com/verify", "https://app.example.com/#/verify"),
                *("https://app.example.com/{token}/{token}", "https://app.example.com/{Token}", "javascript:{token}"),
            )
        ),
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
        ("THROTTLE_SIGNUP_PER_IP", "10 per 99999999999999999999 year"),
        ("THROTTLE_SIGNUP_PER_IP", "9" * 5000 + " per hour"),
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
    assert (load(**GOOD, SMTP_URL=url, **LETTERS).smtp_url or "") == url


@pytest.mark.parametrize(
    "sender", ["no-reply@example.com", "Example <no-reply@example.com>", '"St. John" <a@b.co>', "Ä <a@bücher.example>"]
)
def test_a_sender_may_have_a_name(load, sender):
    assert load(**GOOD, MAIL_FROM=sender).mail_from == sender


def test_in_production_letters_need_a_sender_and_a_place_for_their_links(faults):
    assert set(faults(**GOOD, SMTP_URL="smtp://mail.example.com")) == set(LETTERS)


def test_in_development_they_do_not(load):
    assert load(**GOOD, SMTP_URL="smtp://localhost:1025", PIXORA_ENV="development").mail_from is None


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
    assert load(**GOOD | {"MONGO_URI": uri}).mongo_uri == uri


def test_lists_are_separated_by_commas(load):
    settings = load(
        **GOOD,
        TRUSTED_HOSTS="api.example.com, .example.org",
        CORS_ORIGINS="https://a.example.com,http://localhost:3000",
    )
    assert settings.trusted_hosts == ["api.example.com", ".example.org"]
    assert settings.cors_origins == ["https://a.example.com", "http://localhost:3000"]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("AUTH.example.com", ["auth.example.com"]),
        ("*.example.com", ["*.example.com"]),
        ("auth.example.com:8443, LOCALHOST", ["auth.example.com", "localhost"]),
        ("192.0.2.1,[2001:DB8:0::1]:80", ["192.0.2.1", "[2001:db8::1]"]),
        ("my_service,.localhost", ["my_service", ".localhost"]),
        ("", None),
    ],
)
def test_hosts_are_taken_in_the_form_in_which_they_are_compared(load, given, taken):
    assert load(**GOOD, TRUSTED_HOSTS=given).trusted_hosts == taken


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://App.Example.com:443", ["https://app.example.com"]),
        (
            "http://app.example.com:80, http://app.example.com:443",
            ["http://app.example.com", "http://app.example.com:443"],
        ),
        ("http://[::1]:3000", ["http://[::1]:3000"]),
        ("https://*.example.com,http://*.localhost:3000", ["https://*.example.com", "http://*.localhost:3000"]),
        ("", []),
    ],
)
def test_origins_are_taken_as_browsers_send_them(load, given, taken):
    assert load(**GOOD, CORS_ORIGINS=given).cors_origins == taken


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("", []),
        ("contact", ["contact"]),
        (" birthday, first_name ", ["birthday", "first_name"]),
    ],
)
def test_the_fields_that_a_sign_up_must_bring_are_a_list(load, given, taken):
    assert load(**GOOD, REQUIRED_FIELDS=given).required_fields == taken


def test_by_default_a_sign_up_must_bring_what_the_fastapi_service_demanded(load):
    assert load(**GOOD).required_fields == ["first_name", "last_name", "contact", "birthday"]


@pytest.mark.parametrize("given", ["firstname", "first_name,", "email", "first_name;last_name", "First_name", "all"])
def test_a_field_that_does_not_exist_is_refused_by_name(faults, given):
    [(name, [sentence])] = faults(**GOOD, REQUIRED_FIELDS=given).items()
    assert name == "REQUIRED_FIELDS"
    assert "is not one of first_name, last_name, contact, birthday" in sentence


NUMBERS = {
    "DATABASE_TIMEOUT_MS": 60_000,
    "JWT_ACCESS_TOKEN_EXPIRES": 31 * 24 * 3600,
    "REFRESH_GRACE_SECONDS": 60,
    "REFRESH_IDLE_DAYS": 3650,
    "REFRESH_ABSOLUTE_DAYS": 3650,
    "MAX_SESSIONS_PER_USER": 1000,
    "BCRYPT_ROUNDS": 16,
    "HASH_QUEUE_SECONDS": 20,
    "PASSWORD_MIN_LENGTH": 72,
    "PROXY_COUNT": 10,
    "MAX_CONTENT_LENGTH": 2**20,
    "AUDIT_DAYS": 3650,
    "WEB_CONCURRENCY": 1024,
    "GUNICORN_THREADS": 4096,
}
"""Every setting that is a number, and the highest that is accepted."""


def test_every_number_has_a_bound_here(load):
    # A port or a fraction: whatever is a number and no flag.
    numbers = {name.upper() for name, value in asdict(load(**GOOD)).items() if type(value) in (int, float)}
    assert numbers == set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["", "-1", "nan", "inf", "1e400", "0x10", "999999999", "9" * 25, "9" * 5000, "ten"])
def test_a_number_that_makes_no_sense_is_refused_with_a_sentence(faults, name, value):
    told = faults(**GOOD | {name: value})
    assert set(told) == {name}
    assert all(sentence.endswith(".") for sentence in told[name])


@pytest.mark.parametrize(("name", "highest"), NUMBERS.items())
def test_the_highest_number_is_accepted_and_no_higher_one(load, faults, name, highest):
    assert getattr(load(**GOOD | {name: str(highest)}), name.lower()) == highest
    assert set(faults(**GOOD | {name: str(highest + 1)})) == {name}


def test_with_every_number_at_its_highest_people_sign_up_log_in_and_stay_signed_in(make_app):
    # Except for the cost of a hash: at its highest, each takes seconds.
    numbers = {name: value for name, value in NUMBERS.items() if name != "BCRYPT_ROUNDS"}
    app = make_app(**numbers, **dict.fromkeys(NO_THROTTLES, "1000000 per 366 day"))
    client, password = app.test_client(), secrets.token_urlsafe(54)
    assert len(password) == 72
    body = signup_body(password=password)
    assert client.post("/api/auth/signup", json=body).status_code == 201
    tokens = log_in(client, body["email"], password)
    assert tokens.status_code == 200
    form = {"grant_type": "refresh_token", "refresh_token": tokens.json["refresh_token"]}
    tokens = client.post("/api/auth/refresh", data=form)
    assert tokens.status_code == 200
    bearer = {"Authorization": f"Bearer {tokens.json['access_token']}"}
    assert client.get("/api/users/me", headers=bearer).status_code == 200


def test_a_secret_may_be_in_a_file(load, tmp_path):
    (tmp_path / "key").write_text(GOOD["SECRET_KEY"] + "\n")
    environment = {name: value for name, value in GOOD.items() if name != "SECRET_KEY"}
    assert load(**environment, SECRET_KEY_FILE=str(tmp_path / "key")).secret_key == GOOD["SECRET_KEY"]


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
    assert load(**GOOD).tracing is False
    assert load(**GOOD, OTEL_EXPORTER_OTLP_ENDPOINT="").tracing is False
    assert load(**GOOD, **COLLECTOR).tracing is True
    assert load(**GOOD, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://c.example.com/v1/traces").tracing is True
    assert load(**GOOD, **COLLECTOR, OTEL_SDK_DISABLED="true").tracing is False
    assert load(**GOOD, **COLLECTOR, OTEL_TRACES_EXPORTER="none").tracing is False


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.instrumentation.flask"])
def test_traces_without_the_packages_are_refused_with_what_to_install(faults, load, monkeypatch, missing):
    find = config.find_spec
    monkeypatch.setattr(config, "find_spec", lambda name: None if name == missing else find(name))
    [sentence] = faults(**GOOD, **COLLECTOR)["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert "pip install --require-hashes -r requirements-tracing.txt" in sentence
    assert load(**GOOD, **COLLECTOR, OTEL_SDK_DISABLED="true").tracing is False


def test_traces_go_over_http(faults):
    for name, value in (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_EXPORTER", "zipkin")):
        assert set(faults(**GOOD, **COLLECTOR, **{name: value})) == {name}
    for endpoint in ("collector.example.com:4317", "grpc://collector.example.com", "http://"):
        assert set(faults(**GOOD, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)) == {"OTEL_EXPORTER_OTLP_ENDPOINT"}


@pytest.mark.parametrize(
    ("value", "claims"),
    [
        ("", []),
        ("roles", ["roles"]),
        (" email , email_verified,", ["email", "email_verified"]),
        ("roles,app_metadata.plan,app_metadata.team-id", ["roles", "app_metadata.plan", "app_metadata.team-id"]),
    ],
)
def test_the_claims_of_tokens_are_read(load, value, claims):
    assert load(**GOOD | {"TOKEN_CLAIMS": value}).token_claims == claims


@pytest.mark.parametrize(
    "value",
    [
        *("password", "Roles", "metadata.plan", "app_metadata", "app_metadata.", "app_metadata.a.b", "app_metadata.$a"),
        *("email,email", "app_metadata.é", f"app_metadata.{'x' * 65}", "user.email", "app_metadata.a b"),
        *(f"app_metadata.{claim}" for claim in ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "type")),
        *(f"app_metadata.{claim}" for claim in ("client_id", "scope", "acr", "amr", "auth_time", "roles", "email")),
    ],
)
def test_claims_that_are_unknown_repeated_or_shadow_others_are_refused(faults, value):
    assert set(faults(**GOOD | {"TOKEN_CLAIMS": value})) == {"TOKEN_CLAIMS"}


HASH = "0f" * 32


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ("", []),
        (f"orders:{HASH}", [("orders", HASH)]),
        (f" orders:{HASH.upper()} , billing.v2:{HASH},", [("orders", HASH), ("billing.v2", HASH)]),
    ],
)
def test_the_keys_of_services_are_read(load, value, keys):
    assert load(**GOOD | {"SERVICE_KEYS": value}).service_keys == keys


@pytest.mark.parametrize(
    "value",
    [HASH, f":{HASH}", f"orders:{HASH}0", "orders:secret", f"or ders:{HASH}", f"a:b:{HASH}", f"a:{HASH};b:{HASH}"],
)
def test_keys_of_services_that_are_no_hashes_are_refused_and_not_printed(faults, value):
    found = faults(**GOOD | {"SERVICE_KEYS": value})
    assert set(found) == {"SERVICE_KEYS"}
    assert "secret" not in str(found)


def test_the_key_of_access_tokens_can_be_derived_from_the_secret_key(load):
    two = {name: GOOD[name] for name in ("MONGO_URI", "SECRET_KEY")}
    key = load(**two, DERIVE_JWT_KEY="true").jwt_secret_key
    assert len(key) == 64
    assert key == load(**two, DERIVE_JWT_KEY="true").jwt_secret_key
    assert key != load(**two | {"SECRET_KEY": GOOD["JWT_SECRET_KEY"]}, DERIVE_JWT_KEY="true").jwt_secret_key
    assert load(**GOOD, DERIVE_JWT_KEY="true").jwt_secret_key == GOOD["JWT_SECRET_KEY"]


def test_a_key_directory_comes_before_a_derived_key(load, tmp_path):
    settings = {name: GOOD[name] for name in ("MONGO_URI", "SECRET_KEY")} | {"JWT_KEY_DIR": str(tmp_path)}
    assert load(**settings, DERIVE_JWT_KEY="true").jwt_secret_key is None


def test_without_a_secret_key_only_this_one_is_missing(faults):
    assert set(faults(MONGO_URI=GOOD["MONGO_URI"], DERIVE_JWT_KEY="true")) == {"SECRET_KEY"}


ANDROID = "android:apk-key-hash:" + "A" * 43


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", []),
        ("https://app.example.com", ["https://app.example.com"]),
        (" https://App.Example.com:443 , http://localhost:3000", ["https://app.example.com", "http://localhost:3000"]),
        (f"http://app.localhost,{ANDROID}", ["http://app.localhost", ANDROID]),
    ],
)
def test_origins_of_passkeys_are_read_as_browsers_send_them(load, value, origins):
    assert load(**GOOD, WEBAUTHN_ORIGINS=value, WEBAUTHN_RP_ID="example.com").webauthn_origins == origins


@pytest.mark.parametrize(
    "value",
    [
        *("x", "app.example.com", "https://*.example.com", "https://.example.com", "https://app.example.com/"),
        *("http://app.example.com", "http://127.0.0.1:3000", "https://192.0.2.1", "https://[::1]", "null"),
        *("android:apk-key-hash:abc", ANDROID + "A", "ios:bundle-id:com.example", "https://app.example.com,x"),
    ],
)
def test_origins_that_cannot_use_passkeys_are_refused(faults, value):
    assert set(faults(**GOOD, WEBAUTHN_ORIGINS=value, WEBAUTHN_RP_ID="example.com")) == {"WEBAUTHN_ORIGINS"}


@pytest.mark.parametrize(
    "value", ["x y", "Example.com", "example.com:443", "*.example.com", "https://example.com", "::1"]
)
def test_a_relying_party_that_is_no_domain_is_refused(faults, value):
    assert set(faults(**GOOD, WEBAUTHN_RP_ID=value)) == {"WEBAUTHN_RP_ID"}


def test_the_relying_party_is_by_default_the_host_of_the_public_url(load, faults):
    origins = {"WEBAUTHN_ORIGINS": "https://app.example.com"}
    assert load(**GOOD, **origins, PUBLIC_URL="https://auth.example.com:444").webauthn_rp_id == "auth.example.com"
    assert set(faults(**GOOD, **origins)) == {"WEBAUTHN_RP_ID"}
    assert set(faults(**GOOD, **origins, PUBLIC_URL="http://127.0.0.1:8000")) == {"WEBAUTHN_RP_ID"}
    assert load(**GOOD, PUBLIC_URL="http://127.0.0.1:8000").webauthn_origins == []


DIGEST = bytes(range(32))
FINGERPRINT = DIGEST.hex(":").upper()
PASSKEYS = {"WEBAUTHN_RP_ID": "example.com", "WEBAUTHN_ORIGINS": "https://example.com"}


@pytest.mark.parametrize(
    "value",
    [
        f"com.example.app:{FINGERPRINT}",
        f" com.example.app:{FINGERPRINT.lower()} ",
        f"com.example.app:{DIGEST.hex()}",
    ],
)
def test_an_android_app_is_read_in_each_spelling_and_its_origin_is_accepted(load, value):
    settings = load(**GOOD, WEBAUTHN_RP_ID="example.com", WEBAUTHN_ANDROID_APPS=value)
    assert settings.webauthn_android_apps == [f"com.example.app:{FINGERPRINT}"]
    key_hash = base64.urlsafe_b64encode(DIGEST).decode().rstrip("=")
    assert settings.webauthn_origins == [f"android:apk-key-hash:{key_hash}"]


def test_pages_and_several_apps_are_accepted_together(load):
    apps = f"com.example.app:{FINGERPRINT},com.example.app:{'ff' * 32},com.example.other:{FINGERPRINT}"
    settings = load(**GOOD, **PASSKEYS, WEBAUTHN_ANDROID_APPS=apps, WEBAUTHN_APPLE_APPS="A1B2C3D4E5.com.example.app")
    assert len(settings.webauthn_android_apps) == 3
    assert settings.webauthn_origins[0] == "https://example.com"
    assert settings.webauthn_apple_apps == ["A1B2C3D4E5.com.example.app"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("WEBAUTHN_ANDROID_APPS", value)
            for value in (
                *("x", "com.example.app", f"app:{FINGERPRINT}", f"com..app:{FINGERPRINT}", f"com.1:{FINGERPRINT}"),
                *(f"com.example.app:{FINGERPRINT[3:]}", f"com.example.app:{FINGERPRINT}:00", FINGERPRINT),
                *(f"com.example.app:{FINGERPRINT.replace('0A', '0G')}", f"com.exämple.app:{FINGERPRINT}"),
                *(f"com.example.app:{FINGERPRINT},", f"com.example.app {FINGERPRINT}"),
            )
        ),
        *(
            ("WEBAUTHN_APPLE_APPS", value)
            for value in (
                *("x", "com.example.app", "A1B2C3D4E5", "a1b2c3d4e5.com.example", "A1B2C3D4E.com.example"),
                *("A1B2C3D4E5.com.example.*", "A1B2C3D4E5.com example", "A1B2C3D4E5.", "A1B2C3D4E5.com.example,x"),
            )
        ),
        *(("LINK_ENROLL_PASSKEY", value) for value in ("/passkeys", "http://app.example.com", "javascript:alert(1)")),
        ("LINK_MANAGE_PASSKEYS", "https://a b"),
    ],
)
def test_apps_and_pages_of_passkeys_that_cannot_be_are_refused(faults, name, value):
    assert set(faults(**GOOD, **PASSKEYS, **{name: value})) == {name}


def test_apps_of_apple_need_the_origin_that_they_have(faults):
    origins = {"WEBAUTHN_RP_ID": "example.com", "WEBAUTHN_ORIGINS": "https://app.example.com"}
    found = faults(**GOOD, **origins, WEBAUTHN_APPLE_APPS="A1B2C3D4E5.com.example.app")
    assert set(found) == {"WEBAUTHN_APPLE_APPS"}
    assert "https://example.com" in found["WEBAUTHN_APPLE_APPS"][0]


KEYS = [base64.urlsafe_b64encode(bytes([number] * 32)).decode() for number in range(3)]


@pytest.mark.parametrize(
    ("value", "keys"), [("", []), (KEYS[0], KEYS[:1]), (",".join(KEYS), KEYS), (f" {KEYS[0]} , {KEYS[1]} ", KEYS[:2])]
)
def test_data_keys_are_read_in_their_order(load, value, keys):
    assert load(**GOOD | {"DATA_KEYS": value}).data_keys == keys


@pytest.mark.parametrize(
    "value",
    [
        *("x", KEYS[0][:-1], KEYS[0] + "=", KEYS[0].replace("A", "é", 1), "!" * 43 + "=", f"{KEYS[0]},"),
        *(f"{KEYS[0]},{KEYS[0]}", "A" * 42 + "B=", f"{KEYS[0]};{KEYS[1]}"),
    ],
)
def test_data_keys_that_are_none_or_repeated_are_refused(faults, value):
    assert set(faults(**GOOD | {"DATA_KEYS": value})) == {"DATA_KEYS"}


def test_a_second_factor_of_administrators_needs_data_keys(faults, load):
    assert set(faults(**GOOD, ADMIN_SECOND_FACTOR="true")) == {"ADMIN_SECOND_FACTOR"}
    assert load(**GOOD, ADMIN_SECOND_FACTOR="true", DATA_KEYS=KEYS[0]).admin_second_factor is True
