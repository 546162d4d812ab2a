"""The well-known documents by which browsers and telephones connect pages and apps with the domain."""

import pytest

from tests.passkeys.conftest import LOGIN

FINGERPRINTS = ["0A:" * 31 + "0A", "FF:" * 31 + "FF"]
SETTINGS = {
    "WEBAUTHN_ORIGINS": ["https://app.example.com", "https://example.de", "http://localhost:3000", "android:x"],
    "WEBAUTHN_ANDROID_APPS": [
        f"com.example.app:{FINGERPRINTS[0]}",
        f"com.example.other:{FINGERPRINTS[0]}",
        f"com.example.app:{FINGERPRINTS[1]}",
    ],
    "WEBAUTHN_APPLE_APPS": ["A1B2C3D4E5.com.example.app", "A1B2C3D4E5.com.example.clip"],
    "LINK_ENROLL_PASSKEY": "https://app.example.com/passkeys/new",
    "LINK_MANAGE_PASSKEYS": "https://app.example.com/passkeys",
}
NONE = {
    "WEBAUTHN_ORIGINS": ["http://localhost:3000"],
    "WEBAUTHN_ANDROID_APPS": [],
    "WEBAUTHN_APPLE_APPS": [],
    "LINK_ENROLL_PASSKEY": None,
    "LINK_MANAGE_PASSKEYS": None,
}


def android(package, fingerprints):
    relation = ["delegate_permission/common.get_login_creds", "delegate_permission/common.handle_all_urls"]
    target = {"namespace": "android_app", "package_name": package, "sha256_cert_fingerprints": fingerprints}
    return {"relation": relation, "target": target}


DOCUMENTS = {
    "webauthn": {"origins": ["https://app.example.com", "https://example.de"]},
    "assetlinks.json": [android("com.example.app", FINGERPRINTS), android("com.example.other", FINGERPRINTS[:1])],
    "apple-app-site-association": {
        "webcredentials": {"apps": ["A1B2C3D4E5.com.example.app", "A1B2C3D4E5.com.example.clip"]}
    },
    "passkey-endpoints": {
        "enroll": "https://app.example.com/passkeys/new",
        "manage": "https://app.example.com/passkeys",
    },
}


def test_each_document_is_json_that_clients_may_keep_and_no_redirect(make_app):
    client = make_app(**SETTINGS).test_client()
    for name, document in DOCUMENTS.items():
        response = client.get(f"/.well-known/{name}")
        assert (response.status_code, response.json) == (200, document), name
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Cache-Control"] == "public, max-age=300"
        again = client.get(f"/.well-known/{name}", headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_a_document_that_no_setting_asks_for_is_not_found(make_app):
    client = make_app(**NONE).test_client()
    for name in DOCUMENTS:
        response = client.get(f"/.well-known/{name}")
        assert (response.status_code, response.json["code"]) == (404, "not_found"), name


def test_the_endpoints_are_those_that_are_set(make_app):
    client = make_app(**SETTINGS | {"LINK_ENROLL_PASSKEY": None}).test_client()
    assert client.get("/.well-known/passkey-endpoints").json == {"manage": "https://app.example.com/passkeys"}


def test_without_passkeys_there_are_no_documents(make_app):
    client = make_app(**SETTINGS | {"WEBAUTHN_ORIGINS": []}).test_client()
    for name in DOCUMENTS:
        assert client.get(f"/.well-known/{name}").status_code == 404, name


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("android:apk-key-hash:CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo", 200),  # the app of the tests' settings
        ("android:apk-key-hash:CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgs", 401),
        ("android:apk-key-hash:CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo=", 401),
        ("android:apk-key-hash:" + "0a" * 32, 401),
        ("com.example.app", 401),
    ],
)
def test_an_android_app_logs_in_with_its_own_origin_only(register, account, log_in_by, origin, status):
    authenticator, added = register(account)
    assert added.status_code == 201
    assert log_in_by(authenticator, origin=origin, androidPackageName="com.example.app").status_code == status


def test_an_app_of_apple_logs_in_from_the_domain_and_says_nothing_of_frames(
    make_app, account, register, request_options
):
    authenticator, _ = register(account)
    client = make_app(WEBAUTHN_ORIGINS=["https://example.com"]).test_client()
    credential = authenticator.get(request_options(), origin="https://example.com", crossOrigin=...)
    assert client.post(f"{LOGIN}/login", json={"credential": credential}).status_code == 200
