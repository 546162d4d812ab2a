"""A deletion that is killed half-way is made good."""

import contextlib
import http.client
import os
import secrets
import signal
import threading

import pymongo
import pytest

from tests.conftest import make_account
from tests.factories import PASSWORD
from tests.system.client import Client
from tests.timeouts import LONG, wait_until


@pytest.fixture
def database(mongo_uri):
    """A database of its own."""
    with pymongo.MongoClient(mongo_uri) as client:
        database = client[f"{client.get_default_database().name}_erasure"]
        yield database
        client.drop_database(database)


def operations(database, name):
    """Return the writes to a collection that are under way."""
    query = {"ns": f"{database.name}.{name}", "op": {"$in": ["update", "command"]}, "active": True}
    return list(database.client.admin.aggregate([{"$currentOp": {}}, {"$match": query}]))


def test_a_worker_that_is_killed_when_the_account_is_gone_leaves_nothing_for_ever(
    gunicorn, mongo_uri, database, make_app, move_clock
):
    uri = mongo_uri.replace("?", "_erasure?")
    secret = secrets.token_urlsafe(48)
    with gunicorn(MONGO_URI=uri, SECRET_KEY=secret, DATABASE_TIMEOUT_MS="20000") as url:
        account = make_account(Client(url))
        with database.client.start_session() as session:
            session.start_transaction()  # which holds up who would write this row as well
            database["audit"].update_one({"event": "login"}, {"$set": {"locked": True}}, session=session)

            def delete():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    Client(url).delete("/api/users/me", json={"password": PASSWORD}, headers=account.bearer)

            deleting = threading.Thread(target=delete)
            deleting.start()
            wait_until(lambda: database["audit"].count_documents({"event": "account_deleted"}))
            os.killpg(url.pid, signal.SIGKILL)
            deleting.join(LONG)
            for operation in operations(database, "audit"):  # MongoDB goes on with it, though nobody waits
                database.client.admin.command("killOp", op=operation["opid"])
            wait_until(lambda: not operations(database, "audit"))
            session.abort_transaction()
    assert database["users"].count_documents({}) == 0
    assert database["audit"].count_documents({"user_id": account.id}) > 0
    move_clock(minutes=11)
    app = make_app(MONGO_URI=uri, SECRET_KEY=secret)
    assert app.test_cli_runner().invoke(args=["db", "upgrade"]).exit_code == 0
    [pseudonym] = {row["user_id"] for row in database["audit"].find()}
    assert pseudonym.startswith("erased-")
    assert database["erasures"].count_documents({}) == 0
