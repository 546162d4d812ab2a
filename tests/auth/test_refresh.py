import base64
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest

from pixora.auth.refresh import MAX_REPEATS
from pixora.throttling.outages import MAX_WAITING
from pixora.tokens.refresh import make
from tests.conftest import make_account
from tests.factories import PASSWORD, log_in


def refresh(client, token, **fields):
    form = {"grant_type": "refresh_token", "refresh_token": token} | fields
    return client.post("/api/auth/refresh", data=form)


def get_me(client, token):
    return client.get("/api/users/me", headers={"Authorization": f"Bearer {token}"}).status_code


def assert_refused(response):
    assert response.status_code == 401
    assert response.json["code"] == response.json["error"] == "invalid_grant"
    assert response.json["error_description"] == response.json["detail"]
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.fixture
def session(account, users):
    """The one session of the account, as it is stored."""
    return lambda: users.find_one({"_id": account.id})["sessions"][0]


def test_refresh_answers_with_a_new_pair(client, account):
    response = refresh(client, account.refresh_token, scope="", client_id="web", allow_redirects="True")
    assert response.status_code == 200
    assert set(response.json) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert response.json["refresh_token"] != account.refresh_token
    assert get_me(client, response.json["access_token"]) == 200
    assert response.headers["Cache-Control"] == "no-store"


def test_a_client_stays_signed_in_refresh_after_refresh(client, account):
    token = account.refresh_token
    for _ in range(10):
        response = refresh(client, token)
        token = response.json["refresh_token"]
    assert get_me(client, response.json["access_token"]) == 200


def test_the_access_token_names_the_session(client, account, session):
    claims = jwt.decode(
        refresh(client, account.refresh_token).json["access_token"], options={"verify_signature": False}
    )
    assert claims["sub"] == account.id
    assert claims["sid"] == session()["id"]


def test_fifty_parallel_refreshes_get_one_successor_and_keep_the_client_in(app, client, account, session):
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: refresh(app.test_client(), account.refresh_token), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert session()["generation"] == 1
    assert get_me(client, answers[0].json["access_token"]) == 200
    assert refresh(client, answers[0].json["refresh_token"]).status_code == 200


def test_a_lost_response_is_repeated_within_the_grace(client, account, move_clock):
    first = refresh(client, account.refresh_token).json
    move_clock(seconds=9)
    again = refresh(client, account.refresh_token)
    assert again.status_code == 200
    assert again.json["refresh_token"] == first["refresh_token"]


def test_a_lost_response_is_repeated_a_limited_number_of_times_and_the_session_goes_on(make_app, account, session):
    client = make_app(REFRESH_GRACE_SECONDS=60).test_client()
    successor = refresh(client, account.refresh_token).json["refresh_token"]
    statuses = [refresh(client, account.refresh_token).status_code for _ in range(MAX_REPEATS + 2)]
    assert statuses == [200] * MAX_REPEATS + [401] * 2
    assert refresh(client, successor).status_code == 200
    assert session()["repeats"] == 0


@pytest.fixture
def lose_the_answer(users, account):
    """Leave a session as an outage does: the database has moved it on, and could not say so."""

    def lose():
        users.update_one({"_id": account.id}, {"$unset": {"sessions.0.answered": True}})

    return lose


def test_after_an_outage_the_token_that_got_no_answer_gets_it(client, account, move_clock, lose_the_answer, trail):
    lost = refresh(client, account.refresh_token).json
    lose_the_answer()
    move_clock(seconds=45)
    again = refresh(client, account.refresh_token)
    assert again.status_code == 200
    assert again.json["refresh_token"] == lost["refresh_token"]
    assert get_me(client, again.json["access_token"]) == 200
    assert refresh(client, again.json["refresh_token"]).status_code == 200
    assert trail.count_documents({"event": "refresh_reuse"}) == 0


def test_the_grace_begins_with_the_first_answer_after_an_outage(client, account, move_clock, lose_the_answer):
    refresh(client, account.refresh_token)
    lose_the_answer()
    move_clock(seconds=45)
    successor = refresh(client, account.refresh_token).json["refresh_token"]
    move_clock(seconds=11)
    assert_refused(refresh(client, account.refresh_token))
    assert_refused(refresh(client, successor))


def test_an_unanswered_token_is_not_accepted_forever(client, account, move_clock, lose_the_answer):
    successor = refresh(client, account.refresh_token).json["refresh_token"]
    lose_the_answer()
    move_clock(minutes=6)
    assert_refused(refresh(client, account.refresh_token))
    assert_refused(refresh(client, successor))


def test_a_refresh_by_the_version_before_is_taken_for_one_that_got_no_answer(
    client, account, move_clock, users, session, settings
):
    refresh(client, account.refresh_token)
    of_before = {"$set": {"sessions.0.generation": 4}, "$unset": {"sessions.0.repeats": True}}
    users.update_one({"_id": account.id}, of_before)
    move_clock(seconds=45)
    token = make(account.id, session()["id"], 3, settings.secret_key, session()["salt"])
    assert refresh(client, token).status_code == 200


def test_a_token_that_comes_again_after_the_grace_ends_the_session_at_once(
    client, account, move_clock, users, capture_logs
):
    successor = refresh(client, account.refresh_token).json
    move_clock(seconds=11)
    with capture_logs() as lines:
        assert_refused(refresh(client, account.refresh_token))
    assert get_me(client, successor["access_token"]) == 401
    assert_refused(refresh(client, successor["refresh_token"]))
    assert users.find_one({"_id": account.id})["sessions"] == []
    [line] = [line for line in lines if line.get("event") == "refresh_reuse"]
    assert line["user_id"] == account.id


def test_used_tokens_that_come_late_all_at_once_occupy_few_threads(app, client, account, move_clock):
    """Each is looked into for a second. The others get 503, are refused when they come again, and hold no thread."""
    tokens = [log_in(client, account.email).json["refresh_token"] for _ in range(MAX_WAITING + 3)]
    for token in tokens:
        refresh(client, token)
    move_clock(seconds=11)
    with ThreadPoolExecutor(len(tokens)) as pool:
        answers = list(pool.map(lambda token: refresh(app.test_client(), token), tokens))
    assert sorted(answer.status_code for answer in answers) == [401] * MAX_WAITING + [503] * 3
    assert {answer.json["code"] for answer in answers if answer.status_code == 503} == {"overloaded"}
    for answer, token in zip(answers, tokens, strict=True):
        if answer.status_code == 503:
            assert_refused(refresh(client, token))


def test_the_token_before_the_last_one_is_stolen_even_within_the_grace(client, account):
    second = refresh(client, account.refresh_token).json["refresh_token"]
    third = refresh(client, second).json["refresh_token"]
    assert_refused(refresh(client, account.refresh_token))
    assert_refused(refresh(client, third))


def test_a_copy_of_the_token_of_the_session_that_changed_the_password_is_noticed(client, account, move_clock, users):
    body = {"current_password": PASSWORD, "new_password": "analytical-engine-no-1"}
    assert client.post("/api/users/me/password", json=body, headers=account.bearer).status_code == 204
    used = refresh(client, account.refresh_token)
    assert used.status_code == 200
    move_clock(seconds=11)
    assert_refused(refresh(client, account.refresh_token))
    assert_refused(refresh(client, used.json["refresh_token"]))
    assert users.find_one()["sessions"] == []


def test_theft_ends_one_session_and_not_the_others(client, account, move_clock):
    other = log_in(client, account.email).json
    refresh(client, account.refresh_token)
    move_clock(seconds=11)
    assert_refused(refresh(client, account.refresh_token))
    assert refresh(client, other["refresh_token"]).status_code == 200


def spliced(token, user_id):
    data = base64.urlsafe_b64decode(token)
    return base64.urlsafe_b64encode(bytes.fromhex(user_id) + data[12:]).decode()


def flipped(token, byte):
    data = bytearray(base64.urlsafe_b64decode(token))
    data[byte] ^= 1
    return base64.urlsafe_b64encode(data).decode()


@pytest.mark.parametrize(
    "forge",
    [
        *(lambda token, _, byte=byte: flipped(token, byte) for byte in (0, 11, 12, 23, 24, 27, 28, 59)),
        lambda token, other: spliced(token, other.id),
        lambda token, other: spliced(other.refresh_token, base64.urlsafe_b64decode(token)[:12].hex()),
        lambda token, _: token + "=",
        lambda token, _: token[:-1],
        lambda token, _: "x" * 3000,
        lambda token, _: "not a token",
        lambda token, _: "A" * 80,
        lambda token, other: other.token,
    ],
)
def test_a_forged_token_is_refused_changes_nothing_and_costs_no_write(
    client, account, other_account, users, watch_commands, forge
):
    before = list(users.find())
    forged = forge(account.refresh_token, other_account)
    with watch_commands() as commands:
        assert_refused(refresh(client, forged))
    assert {command.command_name for command in commands} <= {"find"}
    assert list(users.find()) == before
    assert refresh(client, account.refresh_token).status_code == 200


def test_a_refresh_is_one_read_one_atomic_write_and_a_note(client, account, watch_commands):
    with watch_commands() as commands:
        refresh(client, account.refresh_token)
    assert [command.command_name for command in commands] == ["find", "findAndModify", "update"]
    assert commands[-1].command["writeConcern"] == {"w": 1}  # no waiting for a majority once more


def test_a_dump_of_the_database_yields_no_token(client, account, session):
    stored = session()
    for secret in ("", stored["salt"].hex(), account.id):
        assert_refused(refresh(client, make(account.id, stored["id"], stored["generation"], secret, stored["salt"])))


def test_a_generation_still_to_come_is_refused_and_changes_nothing(client, account, session, settings):
    stored = session()
    future = make(account.id, stored["id"], 5, settings.secret_key, stored["salt"])
    assert_refused(refresh(client, future))
    assert session() == stored


def test_a_token_of_another_secret_is_refused(make_app, account):
    assert_refused(
        refresh(make_app(SECRET_KEY="another-secret-of-more-than-32-bytes").test_client(), account.refresh_token)
    )


def test_after_logout_a_token_is_refused(client, account):
    assert client.post("/api/auth/logout", headers=account.bearer).status_code == 204
    assert_refused(refresh(client, account.refresh_token))


def test_after_the_user_is_deleted_a_token_is_refused(client, account, users):
    users.delete_one({"_id": account.id})
    assert_refused(refresh(client, account.refresh_token))


def test_a_session_that_was_idle_for_too_long_has_ended(client, account, move_clock):
    move_clock(days=14)
    assert_refused(refresh(client, account.refresh_token))


def test_a_session_that_is_used_lasts_until_its_absolute_limit(client, account, move_clock):
    token = account.refresh_token
    for _ in range(6):
        move_clock(days=13)
        response = refresh(client, token)
        assert response.status_code == 200
        token = response.json["refresh_token"]
    move_clock(days=12)
    assert_refused(refresh(client, token))


def test_an_access_token_does_not_outlive_its_session(client, account, move_clock):
    token = account.refresh_token
    for days in (13, 13, 13, 13, 13, 13, 11):
        move_clock(days=days)
        token = refresh(client, token).json["refresh_token"]
    move_clock(hours=23, minutes=55)
    assert refresh(client, token).json["expires_in"] == pytest.approx(300, abs=5)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"grant_type": "password"}, "grant_type"),
        ({"grant_type": ""}, "grant_type"),
        ({"grant_type": None}, "grant_type"),
        ({"refresh_token": None}, "refresh_token"),
        ({"refresh_token": ["a", "b"]}, "refresh_token"),
        ({"refresh_token": "\0"}, "refresh_token"),
        ({"scope": ["x", "y"]}, "scope"),
        ({"refresh_token": ""}, "refresh_token"),
    ],
)
def test_a_form_that_is_at_fault_is_refused(client, account, form, field):
    fields = {"grant_type": "refresh_token", "refresh_token": account.refresh_token} | form
    response = client.post(
        "/api/auth/refresh", data={name: value for name, value in fields.items() if value is not None}
    )
    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]


def test_json_is_the_wrong_media_type(client, account):
    body = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    assert client.post("/api/auth/refresh", json=body).status_code == 415


def test_the_grace_may_be_none(make_app, users):
    client = make_app(REFRESH_GRACE_SECONDS=0).test_client()
    account = make_account(client)
    refresh(client, account.refresh_token)
    assert refresh(client, account.refresh_token).status_code in (200, 401)  # the same millisecond is still grace


def test_ended_sessions_are_dropped_at_a_refresh(client, account, users, move_clock):
    move_clock(days=10)
    newer = log_in(client, account.email).json
    move_clock(days=5)
    refresh(client, newer["refresh_token"])
    assert len(users.find_one({"_id": account.id})["sessions"]) == 1
