import json
import os

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

URL, EMAIL, PASSWORD = os.environ["URL"], os.environ["EMAIL"], os.environ["PASSWORD"]
steps, saved = [], []

metadata = AuthorizationServerMetadata(requests.get(f"{URL}/.well-known/oauth-authorization-server", timeout=60).json())
for name in ("token_endpoint", "jwks_uri", "revocation_endpoint", "introspection_endpoint"):
    assert metadata[name].startswith(URL)
# What Authlib's own check wants besides: a response type, which a service without an authorization endpoint has not.
refused = []
for name in metadata.REGISTRY_KEYS:
    try:
        getattr(metadata, f"validate_{name}")()
    except ValueError as error:
        refused.append(str(error))
assert refused == ['"response_types_supported" is required'], refused
steps.append("metadata")


def save(token, refresh_token=None, access_token=None):
    saved.append(token)


session = OAuth2Session(
    "web", token_endpoint=metadata["token_endpoint"], token_endpoint_auth_method="none", update_token=save
)
try:
    session.fetch_token(username=EMAIL, password="a wrong password")
except OAuthError as error:
    assert (error.error, error.description) == ("invalid_grant", "Incorrect email or password")
    steps.append("reason of a refusal")
session.fetch_token(username=EMAIL, password=PASSWORD)
assert session.get(f"{URL}/api/users/me").json()["email"] == EMAIL
steps.append("password")

before = session.token["access_token"]
session.token = session.token | {"expires_at": 1}
assert session.get(f"{URL}/api/users/me").status_code == 200
assert saved[0]["access_token"] != before
steps.append("automatic refresh")

session.revoke_token(metadata["revocation_endpoint"], saved[0]["refresh_token"])
assert (
    requests.get(
        f"{URL}/api/users/me", headers={"Authorization": f"Bearer {saved[0]['access_token']}"}, timeout=60
    ).status_code
    == 401
)
steps.append("revocation")

print(json.dumps(steps))
