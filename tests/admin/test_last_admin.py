"""At least one administrator remains enabled, also after parallel changes and killed processes."""

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import product
from threading import Barrier

import pytest

from pixora.accounts import updates
from pixora.accounts.administrators import Administrators
from pixora.accounts.users import ENABLED_ADMIN
from pixora.clock import utcnow
from pixora.errors import LastAdmin
from tests import ROOT
from tests.admin.conftest import promote
from tests.conftest import make_account
from tests.factories import PASSWORD

DIE_WHILE_ONE_IS_LEAVING = """
import os, signal, sys
import config
from pixora import create_app
from pixora.services import services
with create_app(config.load()).app_context(), services.administrators.removing(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def demote(client, by, whom):
    return client.put(f"/api/admin/users/{whom.id}/roles", json={"roles": ["user"]}, headers=by.bearer)


def disable(client, by, whom):
    return client.post(f"/api/admin/users/{whom.id}/disable", headers=by.bearer)


def delete_self(client, by, whom):
    return client.delete("/api/users/me", json={"password": PASSWORD}, headers=by.bearer)


@pytest.fixture
def make_administrators(app):
    """Return `Administrators` whose announcements are valid for this number of seconds."""
    return lambda seconds: Administrators(app.extensions["services"].users, timedelta(seconds=seconds))


def enabled(users):
    return users.count_documents(ENABLED_ADMIN)


@pytest.mark.parametrize("act", [demote, disable, delete_self])
def test_the_last_administrator_cannot_be_removed(client, admin, users, account, capture_logs, act):
    before = users.find_one({"_id": admin.id})
    with capture_logs() as lines:
        response = act(client, admin, admin)
    assert (response.status_code, response.json["code"]) == (409, "last_admin")
    assert users.find_one({"_id": admin.id}) == before
    assert not [line for line in lines if line.get("event") in ("roles_changed", "user_disabled", "account_deleted")]
    assert client.get("/api/admin/users", headers=admin.bearer).status_code == 200


@pytest.mark.parametrize("act", [demote, disable, delete_self])
def test_a_disabled_administrator_does_not_count(client, admin, second_admin, users, act):
    assert disable(client, admin, second_admin).status_code == 204
    assert act(client, admin, admin).status_code == 409
    assert enabled(users) == 1


@pytest.mark.parametrize("act", [demote, disable, delete_self])
def test_one_of_two_administrators_can_be_removed(client, admin, second_admin, users, act):
    assert act(client, admin, admin).status_code < 300
    assert enabled(users) == 1
    assert act(client, second_admin, second_admin).status_code == 409


def test_a_disabled_administrator_can_be_demoted(client, admin, second_admin, users):
    disable(client, admin, second_admin)
    assert demote(client, admin, second_admin).status_code == 200
    assert users.find_one({"_id": second_admin.id})["roles"] == ["user"]


def test_an_administrator_who_is_enabled_again_counts(client, admin, second_admin):
    disable(client, admin, second_admin)
    client.post(f"/api/admin/users/{second_admin.id}/enable", headers=admin.bearer)
    assert demote(client, admin, admin).status_code == 200


def test_deletion_of_the_last_administrator_is_refused_only_after_the_right_password(client, admin):
    response = client.delete("/api/users/me", json={"password": "wrong"}, headers=admin.bearer)
    assert response.json["code"] == "wrong_password"


@pytest.mark.parametrize(("mine", "theirs"), list(product([demote, disable], [demote, disable, delete_self])))
def test_two_administrators_who_remove_each_other_at_once_do_not_both_succeed(
    app, other_app, client, users, admin, second_admin, mine, theirs
):
    documents = list(users.find())
    clients = app.test_client(), other_app.test_client()
    # Each the other; or, to delete, oneself.
    pairs = (mine, admin, second_admin), (theirs, second_admin, second_admin if theirs is delete_self else admin)
    for _ in range(8):
        users.delete_many({})
        users.insert_many(documents)
        at_once = Barrier(2)

        def act(client, pair, at_once=at_once):
            do, by, whom = pair
            at_once.wait()
            return do(client, by, whom).status_code

        with ThreadPoolExecutor(2) as pool:
            statuses = list(pool.map(act, clients, pairs))
        assert enabled(users) >= 1
        assert all(status in (200, 204, 401, 403, 404, 409) for status in statuses)
        if theirs is not delete_self:  # an administrator who has been demoted may delete the account
            assert sum(status < 300 for status in statuses) == 2 - enabled(users)


def test_of_many_administrators_removed_at_once_one_stays(app, other_app, client, users, admin):
    admins = [admin] + [promote(users, make_account(client, email=f"{number}@example.com")) for number in range(7)]
    at_once = Barrier(len(admins))

    def act(number):
        client = (app, other_app)[number % 2].test_client()
        at_once.wait()
        return (demote, disable, delete_self)[number % 3](client, admins[number], admins[number]).status_code

    with ThreadPoolExecutor(len(admins)) as pool:
        statuses = Counter(pool.map(act, range(len(admins))))
    assert enabled(users) == statuses[409] >= 1
    assert statuses[200] + statuses[204] == len(admins) - statuses[409]
    assert users.count_documents({"leaving": {"$exists": True}}) == 0


def test_a_parallel_promotion_is_not_undone_without_counting_again(app, make_administrators, users, admin, account):
    with app.app_context(), make_administrators(30).removing(account.id) as condition:
        users.update_one({"_id": account.id}, {"$set": {"roles": ["admin"]}})  # by another
        users.update_one({"_id": admin.id}, {"$set": {"roles": ["user"]}})  # and account is the last one now
        assert not app.extensions["services"].users.delete_user(account.id, **condition)
    assert enabled(users) == 1


def test_an_administrator_who_is_leaving_does_not_count(app, make_administrators, admin, second_admin, users):
    both = make_administrators(30)
    with app.app_context():
        with both.removing(admin.id), pytest.raises(LastAdmin), both.removing(second_admin.id):
            pass
        with both.removing(second_admin.id):  # admin has stayed
            pass
    assert users.count_documents({"leaving": {"$exists": True}}) == 0


def test_a_process_that_dies_has_removed_nobody_and_its_announcement_expires(
    client, environment, users, admin, second_admin
):
    program = [sys.executable, "-c", DIE_WHILE_ONE_IS_LEAVING, admin.id]
    died = subprocess.run(program, env=environment, text=True, cwd=ROOT, capture_output=True)
    assert died.returncode == -9, died.stderr
    assert enabled(users) == 2
    assert client.get("/api/admin/users", headers=admin.bearer).status_code == 200
    for act in (demote, disable, delete_self):
        assert act(client, second_admin, second_admin).status_code == 409
    users.update_one({"_id": admin.id}, {"$set": {"leaving": utcnow() - timedelta(seconds=31)}})  # half a minute later
    assert demote(client, second_admin, second_admin).status_code == 200


def test_a_delayed_process_changes_nothing(app, make_administrators, users, admin, second_admin):
    directory = app.extensions["services"].directory
    stage = updates.set_fields({"roles": None}, utcnow())
    with app.app_context(), make_administrators(1).removing(admin.id) as condition:
        time.sleep(0.6)
        assert directory.update_any(admin.id, stage, **condition) is None
        assert not app.extensions["services"].users.delete_user(admin.id, **condition)
    with app.app_context(), make_administrators(60).removing(admin.id) as condition:
        assert directory.update_any(admin.id, stage, **condition) is not None
    assert enabled(users) == 1


def test_a_later_announcement_of_another_process_is_not_withdrawn(app, make_administrators, users, admin, second_admin):
    with app.app_context(), make_administrators(60).removing(admin.id) as condition:
        users.update_one({"_id": admin.id}, [{"$set": {"leaving": {"$add": ["$$NOW", 5]}}}])
        assert not app.extensions["services"].users.delete_user(admin.id, **condition)


def test_a_change_that_may_still_take_effect_stays_announced(app, make_administrators, users, admin, second_admin):
    with app.app_context(), pytest.raises(ZeroDivisionError), make_administrators(30).removing(admin.id):
        raise ZeroDivisionError
    assert "leaving" in users.find_one({"_id": admin.id})


def test_other_administrators_are_found_by_their_index(client, users, admin, second_admin, mongo):
    users.insert_many({"email": f"{number}@example.com", "roles": ["user"]} for number in range(500))
    find = {"find": "users", "filter": {"_id": {"$ne": admin.id}, **ENABLED_ADMIN}, "limit": 1}
    plan = mongo.get_default_database().command("explain", find, verbosity="executionStats")
    assert plan["executionStats"]["totalKeysExamined"] <= 3
    assert "COLLSCAN" not in str(plan["executionStats"])
