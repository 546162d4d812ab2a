"""An owner who recovers an account while somebody else, who knows its password, is at work in it."""

import json
import random
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import make_account
from tests.factories import PASSWORD

ROUNDS = 24
NEW_PASSWORD = "analytical-engine-no-1"


def post(url, body, headers=None):
    """Make a request on a connection of its own; return the status."""
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"} | (headers or {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_recovered_account_is_not_taken_again(gunicorn, client, settings, mongo_uri, users, token_sent):
    """A change of address in flight while the owner resets the password, over two workers, at all distances in time."""
    secrets = {"SECRET_KEY": settings.secret_key, "JWT_SECRET_KEY": settings.jwt_secret_key}
    chance = random.Random(24)  # the same distances at every run

    with gunicorn(WEB_CONCURRENCY="2", MONGO_URI=mongo_uri, **secrets) as url, ThreadPoolExecutor(2) as pool:

        def later(seconds, *arguments):
            time.sleep(seconds)
            return post(*arguments)

        for number in range(ROUNDS):
            account = make_account(client, email=f"ada{number}@example.com")
            client.post("/api/auth/password-reset", json={"email": account.email})
            reset = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
            theft = {"email": f"thief{number}@example.com", "password": PASSWORD}
            path = url + "/api/users/me/email"
            stolen = pool.submit(later, chance.uniform(0, 0.02), path, theft, account.bearer)
            recovered = pool.submit(later, chance.uniform(0, 0.02), url + "/api/auth/password-reset/confirm", reset)
            assert recovered.result() == 204
            assert stolen.result() in (202, 401, 403)
            assert users.find_one({"_id": account.id})["tokens"] == {}
