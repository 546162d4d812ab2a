"""What happens to an account is in the audit trail: once, about the right user, and so much of it as is worth it."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from pixora.accounts.audit import EVENTS
from tests.auth.conftest import NEW_PASSWORD
from tests.conftest import make_account
from tests.factories import PASSWORD, fastapi_user, log_in, sign_up

ME = "/api/users/me"
NEW = "ada.lovelace@example.com"
OTHER = "grace@example.com"
DECOY_EMAIL = "nobody"
LIMITS = {"THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "3 per 15 minute", "THROTTLE_MAIL_PER_ACCOUNT": "2 per hour"}


class World:
    """A service with low limits, Ada, who is logged in, and what can be done there.

    What is about another user returns the id, and what is about none NOBODY.
    """

    def __init__(self, make_app, users, token_sent, move_clock):
        self.make_app, self.users, self.token_sent, self.move_clock = make_app, users, token_sent, move_clock
        self.client = self.make_client()
        self.account = make_account(self.client)

    def make_client(self, **settings):
        return self.make_app(BCRYPT_ROUNDS=5, **LIMITS | settings).test_client()

    def call(self, method, path, **body):
        return self.client.open(path, method=method, json=body or None, headers=self.account.bearer)

    def confirm(self, template, path, **more):
        token = self.token_sent(NEW if template == "change_email" else self.account.email, template)
        return self.client.post(f"/api/auth/{path}/confirm", json={"token": token, **more})

    def send_login(self, email="ada@example.com", password=PASSWORD, client=None):
        return log_in(client or self.client, email, password)

    def sign_up(self):
        return sign_up(self.client, email=OTHER).json["id"]

    def sign_up_where_nothing_is_told(self):
        sign_up(self.make_client(ENUMERATION_SAFE=True), email=OTHER)
        return self.users.find_one({"email": OTHER})["_id"]

    def sign_up_again(self):
        sign_up(self.client)
        return DECOY_EMAIL

    def sign_up_again_where_nothing_is_told(self):
        sign_up(self.make_client(ENUMERATION_SAFE=True))

    def log_in(self):
        self.send_login("ADA@Example.com")

    def log_in_with_a_wrong_password(self):
        self.send_login(password="wrong")

    def log_in_as_nobody(self):
        self.send_login("nobody@example.com")
        return DECOY_EMAIL

    def log_in_unverified(self):
        self.send_login(client=self.make_client(REQUIRE_VERIFIED_EMAIL=True))

    def log_in_with_an_old_hash(self):
        user = fastapi_user()
        self.users.insert_one(user)
        self.send_login(user["email"])
        return user["_id"]

    def log_in_until_locked_out(self):
        statuses = [self.send_login(password="wrong").status_code for _ in range(9)]
        assert statuses == [401] * 3 + [429] * 6

    def change_password(self):
        self.call("POST", f"{ME}/password", current_password=PASSWORD, new_password=NEW_PASSWORD)

    def change_password_by_a_wrong_one(self):
        self.call("POST", f"{ME}/password", current_password="wrong", new_password=NEW_PASSWORD)

    def delete_the_account_by_a_wrong_password(self):
        self.call("DELETE", ME, password="wrong")

    def authenticate_again(self):
        return self.call("POST", "/api/auth/reauthenticate", password=PASSWORD)

    def authenticate_again_by_a_wrong_password(self):
        return self.call("POST", "/api/auth/reauthenticate", password="wrong-password-1")

    def ask_for_another_address(self):
        self.call("POST", f"{ME}/email", email=NEW, password=PASSWORD)

    def ask_for_another_address_by_a_wrong_password(self):
        self.call("POST", f"{ME}/email", email=NEW, password="wrong")

    def change_the_address(self):
        self.ask_for_another_address()
        self.confirm("change_email", "change-email")

    def verify_the_address(self):
        self.confirm("verify_email", "verify-email", password=PASSWORD)

    def verify_the_address_by_a_wrong_password(self):
        self.confirm("verify_email", "verify-email", password="wrong")

    def reset_the_password(self):
        self.client.post("/api/auth/password-reset", json={"email": self.account.email})
        self.confirm("reset_password", "password-reset", new_password=NEW_PASSWORD)

    def ask_nobody_for_a_reset(self):
        self.client.post("/api/auth/password-reset", json={"email": "nobody@example.com"})
        return DECOY_EMAIL

    def log_out_twice(self):
        assert [self.call("POST", "/api/auth/logout").status_code for _ in range(2)] == [204, 401]

    def end_a_session(self):
        [session] = self.call("GET", f"{ME}/sessions").json
        self.call("DELETE", f"{ME}/sessions/{session['id']}")

    def end_a_session_that_is_not_there(self):
        self.call("DELETE", f"{ME}/sessions/{'0' * 24}")

    def end_all_sessions(self):
        self.call("DELETE", f"{ME}/sessions?current=true")

    def end_other_sessions_where_there_are_none(self):
        self.call("DELETE", f"{ME}/sessions")

    def refresh(self):
        form = {"refresh_token": self.account.refresh_token, "grant_type": "refresh_token"}
        return self.client.post("/api/auth/refresh", data=form)

    def refresh_by_a_used_token(self):
        self.refresh()
        self.move_clock(seconds=11)
        assert [self.refresh().status_code for _ in range(3)] == [401] * 3

    def read(self):
        for path in (ME, f"{ME}/sessions", f"{ME}/export", f"/api/users/{self.account.id}", "/health"):
            assert self.call("GET", path).status_code == 200


CAUSES = [
    (World.sign_up, ["signup"]),
    (World.sign_up_where_nothing_is_told, ["signup"]),
    (World.sign_up_again, ["signup_refused"]),
    (World.sign_up_again_where_nothing_is_told, ["signup_refused"]),
    (World.log_in, ["login"]),
    (World.log_in_with_a_wrong_password, ["login_failed"]),
    (World.log_in_as_nobody, ["login_failed"]),
    (World.log_in_unverified, ["login_failed"]),
    (World.log_in_with_an_old_hash, ["hash_upgraded", "login"]),
    (World.log_in_until_locked_out, ["login_failed", "login_failed", "login_failed", "locked_out"]),
    (World.change_password, ["password_changed"]),
    (World.change_password_by_a_wrong_one, ["wrong_password"]),
    (World.delete_the_account_by_a_wrong_password, ["wrong_password"]),
    (World.authenticate_again, ["reauthenticated"]),
    (World.authenticate_again_by_a_wrong_password, ["wrong_password"]),
    (World.ask_for_another_address, ["email_change_requested"]),
    (World.ask_for_another_address_by_a_wrong_password, ["wrong_password"]),
    (World.change_the_address, ["email_change_requested", "email_changed"]),
    (World.verify_the_address, ["email_verified"]),
    (World.verify_the_address_by_a_wrong_password, ["wrong_password"]),
    (World.reset_the_password, ["password_reset_requested", "password_reset"]),
    (World.ask_nobody_for_a_reset, ["password_reset_requested"]),
    (World.log_out_twice, ["session_ended"]),
    (World.end_a_session, ["session_ended"]),
    (World.end_a_session_that_is_not_there, []),
    (World.end_all_sessions, ["sessions_ended"]),
    (World.end_other_sessions_where_there_are_none, []),
    (World.refresh, []),
    (World.refresh_by_a_used_token, ["refresh_reuse"]),
    (World.read, []),
]

ELSEWHERE = {
    "account_deleted",  # tests/accounts/test_erasure.py
    "user_changed",  # tests/admin/test_accounts.py
    *("invited", "invitation_accepted"),  # tests/admin/test_invitations.py
    # tests/passkeys
    *("passkey_added", "passkey_removed", "passkey_counter_went_back", "password_removed"),
    # tests/factors
    *("second_factor_added", "second_factor_removed", "second_factor_failed", "second_factor_reset"),
    *("second_factor_required", "recovery_code_used", "recovery_codes_renewed", "data_keys_rotated"),
    *("key_generated", "key_retired"),  # tests/tokens/test_keys.py
    *("user_created", "user_imported", "user_disabled", "user_enabled", "roles_changed"),
}


@pytest.fixture
def world(make_app, users, counts, trail, token_sent, move_clock):
    return World(make_app, users, token_sent, move_clock)


@pytest.mark.parametrize(("cause", "events"), CAUSES, ids=[cause.__name__ for cause, _ in CAUSES])
def test_what_happens_is_recorded_once_and_about_whom_it_happens_to(world, trail, cause, events):
    trail.delete_many({})
    about = cause(world)
    user_id = {DECOY_EMAIL: None}.get(about, about if isinstance(about, str) else world.account.id)
    rows = list(trail.find(sort=[("at", 1), ("_id", 1)]))
    assert [row["event"] for row in rows] == events
    assert {row["user_id"] for row in rows} <= {user_id}
    assert {row["network"] for row in rows} <= {"127.0.0.1"}


def test_every_event_has_a_cause():
    assert {event for _, events in CAUSES for event in events} | ELSEWHERE == set(EVENTS)


def test_a_login_and_the_end_of_its_session_have_its_id(world, trail):
    [session] = world.call("GET", f"{ME}/sessions").json
    world.call("POST", "/api/auth/logout")
    found = trail.find({"user_id": world.account.id, "details.session_id": session["id"]})
    assert {row["event"] for row in found} == {"login", "session_ended"}


def test_a_lockout_names_the_limit_that_was_reached(world, trail):
    world.log_in_until_locked_out()
    assert trail.find_one({"event": "locked_out"})["details"] == {"limits": ["THROTTLE_LOGIN_PER_ACCOUNT_AND_IP"]}


def test_many_parallel_wrong_attempts_record_one_lockout(world, trail):
    with ThreadPoolExecutor(12) as pool:
        client = world.client.application.test_client
        answers = list(pool.map(lambda _: world.send_login(password="wrong", client=client()).status_code, range(12)))
    assert Counter(answers) == {401: 3, 429: 9}
    events = Counter(row["event"] for row in trail.find({"user_id": world.account.id}))
    assert events == {"signup": 1, "login": 1, "login_failed": 3, "locked_out": 1}


def test_emails_over_the_limit_are_not_recorded_for_the_account(world, trail):
    trail.delete_many({})
    for _ in range(5):
        world.client.post("/api/auth/password-reset", json={"email": world.account.email})
    # Two in an hour: the sign-up was the first.
    assert Counter(row["user_id"] for row in trail.find()) == {world.account.id: 1, None: 4}


def test_the_same_is_done_for_a_wrong_password_whether_or_not_there_is_an_account(world, watch_commands):
    world.send_login("warm.up@example.com")
    seen = []
    for email in (world.account.email, "nobody@example.com"):
        for _ in range(3):  # the last one uses up the limit
            with watch_commands() as commands:
                assert world.send_login(email, "wrong").status_code == 401
            seen.append([(one.command_name, one.command[one.command_name]) for one in commands])
    assert seen[:3] == seen[3:]
    assert [len([name for _, name in commands if name == "audit"]) for commands in seen] == [1, 1, 2] * 2


def test_a_login_takes_one_operation_more(world, watch_commands):
    world.log_in()
    with watch_commands() as commands:
        world.log_in()
    assert [one.command_name for one in commands if one.command[one.command_name] == "audit"] == ["update"]


def test_a_request_succeeds_when_its_event_cannot_be_recorded(world, mongo, trail, capture_logs):
    database = mongo.get_default_database()
    database.command("collMod", "audit", validator={"event": "nothing"})
    try:
        with capture_logs() as lines:
            assert world.send_login().status_code == 200
            assert world.send_login(password="wrong").status_code == 401
            assert world.call("POST", "/api/auth/logout").status_code == 204
    finally:
        database.command("collMod", "audit", validator={})
    assert [line["event"] for line in lines if line["event"] != "audit_failed"] == [
        *("login", "login_failed", "session_ended")
    ]
