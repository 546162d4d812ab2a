"""One administrator always remains, over several processes and on a standalone mongod, without transactions."""

import contextlib
import http.client
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import urlencode, urlsplit

import pymongo
import pytest
from mongod import find_mongod, free_port
from pymongo.errors import PyMongoError

import config
from pixora.accounts.users import ENABLED_ADMIN
from tests.factories import HASH_2B, PASSWORD, fastapi_user

ROUNDS = 8
START_SECONDS = 120


@pytest.fixture(scope="module")
def lone_mongod(tmp_path_factory):
    """The URI of a database on a standalone mongod."""
    port, folder = free_port(), tmp_path_factory.mktemp("mongod")
    command = [find_mongod(config.mongod()), "--dbpath", folder, "--logpath", folder / "log", "--nounixsocket"]
    process = subprocess.Popen([*command, "--bind_ip", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=500) as client:
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline:
                with contextlib.suppress(PyMongoError):
                    assert "setName" not in client.admin.command("hello")
                    break
        yield f"mongodb://127.0.0.1:{port}/pixora"
    finally:
        process.terminate()
        process.wait(START_SECONDS)


@pytest.fixture(scope="module")
def service(gunicorn, lone_mongod):
    """The service with two worker processes."""
    with gunicorn(MONGO_URI=lone_mongod, WEB_CONCURRENCY="2") as url:
        yield url


class Administrator:
    """A logged-in administrator with a connection of their own."""

    def __init__(self, url, user):
        self.id = user["_id"]
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        form = urlencode({"username": user["email"], "password": PASSWORD})
        _, grant = self._send("POST", "/api/auth/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
        self._headers = {"Authorization": f"Bearer {grant['access_token']}", "Content-Type": "application/json"}

    def close(self):
        self._connection.close()

    def demote(self, user_id):
        return self._send("PUT", f"/api/admin/users/{user_id}/roles", '{"roles": ["user"]}', self._headers)[0]

    def disable(self, user_id):
        return self._send("POST", f"/api/admin/users/{user_id}/disable", None, self._headers)[0]

    def delete_self(self, user_id):
        return self._send("DELETE", "/api/users/me", json.dumps({"password": PASSWORD}), self._headers)[0]

    def _send(self, method, path, body, headers):
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data else None


@pytest.fixture
def administrators(service, lone_mongod):
    """Four administrators, a function that restores them, and one that counts the remaining ones."""
    with pymongo.MongoClient(lone_mongod) as client:
        users = client.get_default_database()["users"]
        users.delete_many({})
        documents = [
            fastapi_user(email=f"{number}@example.com", roles=["user", "admin"], password=HASH_2B)
            for number in range(4)
        ]
        users.insert_many(documents)
        found = [Administrator(service, user) for user in documents]
        documents = list(users.find())

        def restore():
            users.delete_many({})
            users.insert_many(documents)

        yield found, restore, lambda: users.count_documents(ENABLED_ADMIN)
        for administrator in found:
            administrator.close()


@pytest.mark.parametrize("acts", [["demote"] * 4, ["disable"] * 4, ["delete_self"] * 4, ["demote", "disable"] * 2])
def test_one_of_the_administrators_who_remove_each_other_at_once_remains(administrators, acts):
    admins, restore, left = administrators
    at_once = Barrier(4)
    seen = set()

    def act(number):
        whom = admins[number if acts[number] == "delete_self" else (number + 1) % 4]
        at_once.wait()
        return getattr(admins[number], acts[number])(whom.id)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(ROUNDS):
            restore()
            statuses = list(pool.map(act, range(4)))
            seen |= set(statuses)
            assert left() >= 1, statuses
            assert left() == 4 - sum(status < 300 for status in statuses)
    assert seen <= {200, 204, 401, 403, 409}
