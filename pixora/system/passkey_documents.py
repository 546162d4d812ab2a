"""Well-known documents about passkeys, by which browsers and telephones connect pages and apps with the domain.

Clients ask for them at the domain of `WEBAUTHN_RP_ID`, over https, and follow no redirect. One that no setting asks for
is 404.
"""

from collections.abc import Sequence
from typing import Any

from flask import Response
from marshmallow import Schema, fields

from config import Settings
from pixora.auth.guards import public
from pixora.errors import NotFound
from pixora.services import services
from pixora.system.wellknown import cached
from pixora.web.blueprint import Blueprint, fails

RELATIONS = ["delegate_permission/common.get_login_creds", "delegate_permission/common.handle_all_urls"]
"""What Android's documentation wants of an app that shares the passkeys of a domain."""

blueprint = Blueprint(
    "passkey_documents",
    __name__,
    url_prefix="/.well-known",
    description="Which pages and apps have the passkeys of this domain",
)


class RelatedOriginsSchema(Schema):
    """Related origins (WebAuthn, level 3, section 5.11)."""

    origins = fields.List(fields.String(), required=True)


class AndroidAppSchema(Schema):
    """An Android app."""

    namespace = fields.String(required=True)
    package_name = fields.String(required=True)
    sha256_cert_fingerprints = fields.List(fields.String(), required=True)


class AssetLinkSchema(Schema):
    """A statement of Digital Asset Links."""

    relation = fields.List(fields.String(), required=True)
    target = fields.Nested(AndroidAppSchema, required=True)


class AppleAppsSchema(Schema):
    """Apps by their ids."""

    apps = fields.List(fields.String(), required=True)


class AppSiteAssociationSchema(Schema):
    """The associated domains file of Apple."""

    webcredentials = fields.Nested(AppleAppsSchema, required=True)


class PasskeyEndpointsSchema(Schema):
    """Passkey endpoints (W3C)."""

    enroll = fields.String(metadata={"description": "The page on which users add a passkey, `LINK_ENROLL_PASSKEY`."})
    manage = fields.String(metadata={"description": "The page of their passkeys, `LINK_MANAGE_PASSKEYS`."})


FINGERPRINT = "14:6D:E9:83:C5:73:06:50:D8:EE:B9:95:2F:34:FC:64:16:A0:83:42:E6:1D:BE:A8:8A:04:96:B2:3F:CF:44:E5"
ANDROID_EXAMPLE = {
    "relation": RELATIONS,
    "target": {
        "namespace": "android_app",
        "package_name": "com.example.app",
        "sha256_cert_fingerprints": [FINGERPRINT],
    },
}
APPLE_EXAMPLE = {"webcredentials": {"apps": ["A1B2C3D4E5.com.example.app"]}}
ENDPOINTS_EXAMPLE = {
    "enroll": "https://app.example.com/passkeys/new",
    "manage": "https://app.example.com/passkeys",
}


@blueprint.route("/webauthn", "getRelatedOrigins")
@fails(NotFound)
@blueprint.response(200, RelatedOriginsSchema, example={"origins": ["https://app.example.com"]})
@public
def related_origins() -> Response:
    """Get the origins of pages that may use the passkeys of this domain.

    Browsers ask for it when a page of another domain uses them.
    """
    return _document("webauthn")


@blueprint.route("/assetlinks.json", "getAssetLinks")
@fails(NotFound)
@blueprint.response(200, AssetLinkSchema(many=True), example=[ANDROID_EXAMPLE])
@public
def asset_links() -> Response:
    """Get the Android apps that may use the passkeys of this domain.

    Digital Asset Links, which Android asks for when an app uses passkeys.
    """
    return _document("assetlinks.json")


@blueprint.route("/apple-app-site-association", "getAppSiteAssociation")
@fails(NotFound)
@blueprint.response(200, AppSiteAssociationSchema, example=APPLE_EXAMPLE)
@public
def app_site_association() -> Response:
    """Get the apps of Apple's systems that may use the passkeys of this domain.

    Apple's servers ask for it when such an app is installed.
    """
    return _document("apple-app-site-association")


@blueprint.route("/passkey-endpoints", "getPasskeyEndpoints")
@fails(NotFound)
@blueprint.response(200, PasskeyEndpointsSchema, example=ENDPOINTS_EXAMPLE)
@public
def passkey_endpoints() -> Response:
    """Get the pages on which users add and manage their passkeys.

    Credential managers lead users there.
    """
    return _document("passkey-endpoints")


def documents(settings: Settings) -> dict[str, Any]:
    """Return the documents that the settings ask for, by their names."""
    found: dict[str, Any] = {}
    if pages := [origin for origin in settings.webauthn_origins if origin.startswith("https://")]:
        found["webauthn"] = {"origins": pages}
    if apps := settings.webauthn_android_apps:
        found["assetlinks.json"] = _asset_links(apps)
    if apps := settings.webauthn_apple_apps:
        found["apple-app-site-association"] = {"webcredentials": {"apps": apps}}
    endpoints = {"enroll": settings.link_enroll_passkey, "manage": settings.link_manage_passkeys}
    if any(endpoints.values()):
        found["passkey-endpoints"] = {name: url for name, url in endpoints.items() if url}
    return found


def _asset_links(apps: Sequence[str]) -> list[dict[str, Any]]:
    fingerprints: dict[str, list[str]] = {}
    for app in apps:
        package, _, fingerprint = app.partition(":")
        fingerprints.setdefault(package, []).append(fingerprint)
    return [
        {
            "relation": RELATIONS,
            "target": {"namespace": "android_app", "package_name": package, "sha256_cert_fingerprints": of_package},
        }
        for package, of_package in fingerprints.items()
    ]


def _document(name: str) -> Response:
    found = documents(services.settings).get(name)
    if found is None:
        raise NotFound
    return cached(found)
