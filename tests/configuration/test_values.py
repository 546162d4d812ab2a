"""The form of each setting: what is malformed, and how the others are read."""

import pytest

from tests.configuration.conftest import GOOD, LETTERS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIXORA_ENV", "prod"),
        ("PIXORA_ENV", "Development"),
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
                *("https://{token}.example.com/", "https://{token}/", "https://app.example.com:{token}/"),
                *("https://app.example.com/?token=1", "https://app.example.com/?a=b&token="),
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
        *(("THROTTLE_SIGNUP_PER_IP", value) for value in ("5 per 0 second", "5/00minute", "5 per \u0660 hour")),
        ("THROTTLE_SIGNUP_PER_IP", "10 per 99999999999999999999 year"),
        ("THROTTLE_SIGNUP_PER_IP", "9" * 5000 + " per hour"),
        ("SMTP_URL", "mail.example.com"),
        ("SMTP_URL", "http://mail.example.com"),
        ("SMTP_URL", "smtp://"),
        ("SMTP_URL", "smtp://mail.example.com:port"),
        ("SMTP_URL", "smtp://mail.example.com:0"),
        ("SMTP_URL", "smtp://mail.example.com/relay"),
        ("SMTP_URL", "smtp://mail.example.com#relay"),
        *(("SMTP_URL", f"smtp://{host}") for host in ("[::1", "[::g]", "a..b", ".b", "a b", "a" * 64, "ä" * 60, "%zz")),
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
        "smtp://bücher.example:25",
        "smtp://mail.example.com.",
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


def test_lists_are_separated_by_commas(load):
    settings = load(
        **GOOD,
        TRUSTED_HOSTS="api.example.com, .example.org",
        CORS_ORIGINS="https://a.example.com,http://localhost:3000",
    )
    assert settings.trusted_hosts == ["api.example.com", ".example.org"]
    assert settings.cors_origins == ["https://a.example.com", "http://localhost:3000"]


def test_every_faulty_value_of_a_list_is_quoted(faults):
    found = faults(**GOOD, CORS_ORIGINS="https://a.example.com,b.example.com,c.example.com")["CORS_ORIGINS"]
    assert [sentence.partition(" ")[0] for sentence in found] == ["'b.example.com'", "'c.example.com'"]


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
