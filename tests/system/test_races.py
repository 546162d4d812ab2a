"""Changes of the same user at once, over several worker processes: only the database can decide between them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier, Event
from time import sleep

import pymongo
import pytest

from tests.auth.conftest import NEW_PASSWORD
from tests.conftest import make_account
from tests.factories import PASSWORD, fastapi_user, log_in
from tests.passkeys.authenticator import ORIGIN, RP_ID, Authenticator
from tests.passkeys.conftest import LOGIN, OWN, REAUTHENTICATE
from tests.system.client import Client

ME = "/api/users/me"
USERS = "/api/admin/users"
GUEST = "guest@example.com"
ROUNDS = 5


@pytest.fixture(scope="module")
def uri(mongo_uri):
    return mongo_uri.replace("?", "_races?")


@pytest.fixture(scope="module")
def client(gunicorn, uri, settings):
    """A client of three worker processes; each of its requests may go to another one."""
    changed = {"MONGO_URI": uri, "SECRET_KEY": settings.secret_key, "WEB_CONCURRENCY": "3", "GUNICORN_THREADS": "24"}
    changed |= {"WEBAUTHN_RP_ID": RP_ID, "WEBAUTHN_ORIGINS": ORIGIN}
    with gunicorn(**changed, DATABASE_TIMEOUT_MS="30000") as url:  # a busy machine is no reason to fail
        yield Client(url)


@pytest.fixture
def users(client, uri):
    with pymongo.MongoClient(uri) as mongo:
        users = mongo.get_default_database()["users"]
        users.delete_many({})
        yield users


@pytest.fixture
def account(client, users):
    return make_account(client)


def at_once(times, call):
    """Call with the numbers below `times`, in that many threads that begin together; return the results in order."""
    barrier = Barrier(times)

    def one(number):
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def invite(client, admin):
    body = {"email": GUEST, "invite": True, "first_name": "Mary", "last_name": "Somerville"}
    body |= {"contact": "+442079460958", "birthday": "1980-12-26"}
    return client.post(USERS, json=body, headers=admin.bearer)


def test_of_fifty_invitations_of_one_address_one_is_sent(client, admin, users):
    statuses = at_once(50, lambda _: invite(client, admin).status_code)
    assert Counter(statuses) == {201: 1, 409: 49}
    [guest] = users.find({"email": GUEST})
    assert [email["template"] for email in guest["letters"]] == ["invitation"]


def test_an_invitation_is_accepted_once(client, admin, users, session_app):
    invite(client, admin)
    [email] = users.find_one({"email": GUEST})["letters"]
    token = session_app.extensions["services"].outbox.decrypt_token(email)

    def accept(number):
        body = {"token": token, "new_password": f"analytical-engine-no-{number}"}
        return client.post("/api/auth/invitation/confirm", json=body).status_code

    statuses = at_once(20, accept)
    assert Counter(statuses) == {204: 1, 400: 19}
    form = {"username": GUEST, "password": f"analytical-engine-no-{statuses.index(204)}"}
    assert client.post("/api/auth/login", data=form).status_code == 200


@pytest.mark.parametrize("field", ["metadata", "app_metadata"])
def test_of_a_hundred_merge_patches_of_different_keys_none_is_lost(client, account, admin, field):
    path, bearer = (ME, account.bearer) if field == "metadata" else (f"{USERS}/{account.id}", admin.bearer)

    def patch(number):
        body = {field: {f"name {number}": number, "shared": {f"{number}": number}}}
        return client.patch(path, json=body, headers=bearer).status_code

    assert at_once(100, patch) == [200] * 100
    found = client.get(ME, headers=account.bearer).json[field]
    assert found.pop("shared") == {f"{number}": number for number in range(100)}
    assert found == {f"name {number}": number for number in range(100)}


def test_of_a_hundred_merge_patches_of_one_state_one_succeeds_and_the_others_are_refused(client, account):
    headers = account.bearer | {"If-Match": client.get(ME, headers=account.bearer).headers["ETag"]}

    def patch(number):
        return client.patch(ME, json={"metadata": {f"{number}": number}}, headers=headers).status_code

    statuses = at_once(100, patch)
    assert Counter(statuses) == {200: 1, 412: 99}
    kept = statuses.index(200)
    assert client.get(ME, headers=account.bearer).json["metadata"] == {f"{kept}": kept}


def test_of_a_hundred_conditional_merge_patches_none_is_lost_when_clients_try_again(client, account):
    def patch(number):
        while True:
            tag = client.get(ME, headers=account.bearer).headers["ETag"]
            body, headers = {"metadata": {f"{number}": number}}, account.bearer | {"If-Match": tag}
            if client.patch(ME, json=body, headers=headers).status_code == 200:
                return

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(patch, range(100)))
    assert client.get(ME, headers=account.bearer).json["metadata"] == {f"{number}": number for number in range(100)}


def test_merge_patches_beside_a_deletion_succeed_before_it_and_leave_nothing(client, users):
    for turn in range(ROUNDS):
        account = make_account(client, email=f"{turn}@example.com")

        def act(number, account=account):
            if number == 10:
                return client.delete(ME, json={"password": PASSWORD}, headers=account.bearer).status_code
            return client.patch(ME, json={"metadata": {f"{number}": 1}}, headers=account.bearer).status_code

        statuses = at_once(20, act)
        assert statuses.pop(10) == 204
        assert set(statuses) <= {200, 401}
        assert users.find_one({"$or": [{"_id": account.id}, {"email": account.email}]}) is None


def test_an_administrators_patches_beside_a_deletion_leave_nothing(client, admin, users):
    for turn in range(ROUNDS):
        account = make_account(client, email=f"{turn}@example.com")

        def act(number, account=account):
            path = f"{USERS}/{account.id}"
            if number == 10:
                return client.delete(path, headers=admin.bearer).status_code
            body = {"app_metadata": {f"{number}": 1}, "first_name": f"Ada {number}"}
            return client.patch(path, json=body, headers=admin.bearer).status_code

        statuses = at_once(20, act)
        assert statuses.pop(10) == 204
        assert set(statuses) <= {200, 404}
        assert users.find_one({"$or": [{"_id": account.id}, {"email": account.email}]}) is None


@pytest.mark.parametrize("query", ["", "email=u", "disabled=false", "created_after=2020-01-01T00:00:00Z"])
def test_pages_that_are_read_while_users_come_and_go_have_everybody_who_stays_once(client, admin, users, query):
    stay = [fastapi_user(email=f"u{number:03}@example.com") for number in range(0, 200, 2)]
    users.insert_many(stay)
    is_over = Event()

    def come_and_go():
        for number in count():
            if is_over.is_set():
                return
            new = fastapi_user(email=f"u{number % 100 * 2 + 1:03}@example.com")
            users.insert_one(new)
            users.delete_one({"_id": new["_id"]})

    seen, after = [], ""
    with ThreadPoolExecutor(1) as pool:
        changes = pool.submit(come_and_go)
        try:
            while after is not None:
                page = client.get(f"{USERS}?limit=7&{query}{after and f'&after={after}'}", headers=admin.bearer).json
                seen += [user["id"] for user in page["items"]]
                after = page["next"]
        finally:
            is_over.set()
        changes.result()
    assert len(seen) == len(set(seen))
    assert {user["_id"] for user in stay} <= set(seen)


def with_passkey(client, name):
    """Sign up a user with a passkey; return the authenticator, and the user logged in by password and by passkey."""
    by_password, authenticator = make_account(client, email=f"{name}@example.com"), Authenticator()
    credential = authenticator.create(client.post(f"{OWN}/options", headers=by_password.bearer).json)
    added = client.post(OWN, json={"credential": credential}, headers=by_password.bearer)
    assert added.status_code == 201, added.text
    tokens = log_in_by(client, authenticator).json
    return (
        authenticator,
        by_password,
        by_password._replace(token=tokens["access_token"], refresh_token=tokens["refresh_token"]),
    )


def log_in_by(client, authenticator):
    credential = authenticator.get(client.post(f"{LOGIN}/options").json)
    return client.post(f"{LOGIN}/login", json={"credential": credential})


def remove_password(client, account):
    return client.delete(f"{ME}/password", json={"password": PASSWORD}, headers=account.bearer).status_code


def test_of_password_and_last_passkey_removed_at_once_one_stays(client, users):
    for turn in range(2 * ROUNDS):
        authenticator, _, ada = with_passkey(client, turn)
        [passkey] = client.get(OWN, headers=ada.bearer).json

        def act(number, turn=turn, ada=ada, path=f"{OWN}/{passkey['id']}"):
            if number % 2:
                return remove_password(client, ada)
            sleep(0.005 * turn)  # removing a passkey takes less time: let either be the first
            return client.delete(path, headers=ada.bearer).status_code

        statuses = at_once(8, act)
        user = users.find_one({"_id": ada.id})
        if "password" in user:
            assert "passkeys" not in user
            assert Counter(statuses[::2]) == {204: 1, 404: 3}
            assert set(statuses[1::2]) <= {409}
            assert log_in(client, ada.email).status_code == 200
        else:
            assert len(user.get("passkeys", [])) == 1
            assert statuses[::2] == [409] * 4
            assert 204 in statuses[1::2]
            assert set(statuses[1::2]) <= {204, 403}
            assert log_in_by(client, authenticator).status_code == 200


def test_a_removal_of_the_password_beside_a_reset_leaves_the_new_password(client, users, session_app):
    for turn in range(ROUNDS):
        authenticator, _, ada = with_passkey(client, turn)
        client.post("/api/auth/password-reset", json={"email": ada.email})
        token = session_app.extensions["services"].outbox.decrypt_token(users.find_one({"_id": ada.id})["letters"][-1])

        def act(number, ada=ada, token=token):
            if number % 2:
                return remove_password(client, ada)
            body = {"token": token, "new_password": NEW_PASSWORD}
            return client.post("/api/auth/password-reset/confirm", json=body).status_code

        statuses = at_once(8, act)
        assert Counter(statuses[::2]) == {204: 1, 400: 3}
        assert set(statuses[1::2]) <= {204, 401, 403}
        assert users.find_one({"_id": ada.id})["sessions"] == []
        assert log_in(client, ada.email).status_code == 401
        assert log_in(client, ada.email, NEW_PASSWORD).status_code == 200
        assert log_in_by(client, authenticator).status_code == 200


def test_a_removal_of_the_password_beside_reauthentications_ends_the_other_sessions(client, users):
    for turn in range(ROUNDS):
        authenticator, by_password, ada = with_passkey(client, turn)
        options = [client.post(f"{REAUTHENTICATE}/options", headers=ada.bearer).json for _ in range(4)]
        credentials = [authenticator.get(one) for one in options]

        def act(number, by_password=by_password, ada=ada, credentials=credentials):
            if number == 0:
                return remove_password(client, ada)
            session = ada if number % 2 else by_password
            body = {"credential": credentials[number // 4]} if number % 4 < 2 else {"password": PASSWORD}
            return client.post(REAUTHENTICATE, json=body, headers=session.bearer).status_code

        statuses = at_once(16, act)
        assert statuses[0] == 204
        assert set(statuses) <= {200, 204, 401, 403}
        user = users.find_one({"_id": ada.id})
        assert "password" not in user
        assert len(user["passkeys"]) == len(user["sessions"]) == 1
        assert client.get(ME, headers=by_password.bearer).status_code == 401
        assert client.get(ME, headers=ada.bearer).status_code == 200
        assert log_in_by(client, authenticator).status_code == 200
