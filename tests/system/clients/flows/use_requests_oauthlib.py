import json
import os

from oauthlib.oauth2 import InvalidGrantError, LegacyApplicationClient
from requests_oauthlib import OAuth2Session

URL, EMAIL, PASSWORD = os.environ["URL"], os.environ["EMAIL"], os.environ["PASSWORD"]
TOKEN_URL = f"{URL}/api/auth/token"
steps, saved = [], []

session = OAuth2Session(
    client=LegacyApplicationClient("web"),
    auto_refresh_url=TOKEN_URL,
    auto_refresh_kwargs={"client_id": "web"},
    token_updater=saved.append,
)
try:
    session.fetch_token(TOKEN_URL, username=EMAIL, password="a wrong password")
except InvalidGrantError as error:
    assert error.description == "Incorrect email or password"
    steps.append("reason of a refusal")
session.fetch_token(TOKEN_URL, username=EMAIL, password=PASSWORD)
assert session.get(f"{URL}/api/users/me").json()["email"] == EMAIL
steps.append("password")

session.token = session.token | {"expires_at": 1}
before = session.token["access_token"]
assert session.get(f"{URL}/api/users/me").status_code == 200
assert saved[0]["access_token"] == session.token["access_token"] != before
steps.append("automatic refresh")

print(json.dumps(steps))
