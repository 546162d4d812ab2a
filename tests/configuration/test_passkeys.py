"""Settings of passkeys: origins, the relying party, apps and pages."""

import base64

import pytest

from tests.configuration.conftest import GOOD

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
    "value",
    [
        *("x y", "Example.com", "example.com:443", "*.example.com", "https://example.com", "::1", "example.com."),
        *("10.0.0.1", "1.2", "example.123", "0x7f.1", "example.0x1f", "bücher.example"),
    ],
)
def test_a_relying_party_that_is_no_domain_is_refused(faults, value):
    assert set(faults(**GOOD, WEBAUTHN_RP_ID=value)) == {"WEBAUTHN_RP_ID"}


def test_a_relying_party_without_a_dot_must_be_the_host_of_a_page(load, faults):
    assert set(faults(**GOOD, WEBAUTHN_ORIGINS="https://app.com", WEBAUTHN_RP_ID="com")) == {"WEBAUTHN_RP_ID"}
    for origin, host in (("https://intranet:8443", "intranet"), ("http://app.localhost", "localhost")):
        assert load(**GOOD, WEBAUTHN_ORIGINS=origin, WEBAUTHN_RP_ID=host).webauthn_rp_id == host


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
