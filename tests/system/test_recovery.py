"""An owner who recovers an account while somebody else, who knows its password, is at work in it."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import make_account
from tests.factories import PASSWORD
from tests.system.client import Client

ROUNDS = 24
NEW_PASSWORD = "analytical-engine-no-1"


def test_a_recovered_account_is_not_taken_again(gunicorn, client, settings, mongo_uri, users, token_sent):
    """A change of address in flight while the owner resets the password, over two workers, at all distances in time."""
    secrets = {"SECRET_KEY": settings.secret_key, "JWT_SECRET_KEY": settings.jwt_secret_key}
    chance = random.Random(24)  # the same distances at every run

    with gunicorn(WEB_CONCURRENCY="2", MONGO_URI=mongo_uri, **secrets) as url, ThreadPoolExecutor(2) as pool:
        server = Client(url)

        def later(seconds, path, **options):
            time.sleep(seconds)
            return server.post(path, **options).status_code

        for number in range(ROUNDS):
            account = make_account(client, email=f"ada{number}@example.com")
            client.post("/api/auth/password-reset", json={"email": account.email})
            reset = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
            theft = {"email": f"thief{number}@example.com", "password": PASSWORD}
            change = "/api/users/me/email"
            stolen = pool.submit(later, chance.uniform(0, 0.02), change, json=theft, headers=account.bearer)
            recovered = pool.submit(later, chance.uniform(0, 0.02), "/api/auth/password-reset/confirm", json=reset)
            assert recovered.result() == 204
            assert stolen.result() in (202, 401, 403)
            assert users.find_one({"_id": account.id})["tokens"] == {}
