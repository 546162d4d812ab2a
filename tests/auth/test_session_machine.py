"""The life of sessions, in any order of events, against a model of a few lines."""

from datetime import timedelta

import jwt
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from pixora.throttling import outages
from tests.factories import log_in, sign_up
from tests.movable_clock import MovableClock

IDLE, ABSOLUTE, MOST = timedelta(days=14), timedelta(days=90), 3
GRACE, UNANSWERED = timedelta(seconds=10), timedelta(minutes=5)


class Session:
    """What is known of a session from outside."""

    def __init__(self, now, grant):
        self.created = self.used = now
        self.answered = (
            now  # when the newest refresh token was first handed out; None: not yet, for the answer was lost
        )
        self.tokens = [grant["refresh_token"]]
        self.note_access(now, grant)

    def note_access(self, now, grant):
        self.access, self.access_ends = grant["access_token"], now + timedelta(seconds=grant["expires_in"])

    @property
    def ends(self):
        return min(self.used + IDLE, self.created + ABSOLUTE)


class SessionMachine(RuleBasedStateMachine):
    app = empty_database = lose_answer = None  # given by the test

    tokens = Bundle("tokens")  # every refresh token there ever was: its session and its generation

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.clock = MovableClock(self.patch)
        self.clock.freeze()
        self.patch.setattr(outages, "REPORT_SECONDS", 0)  # no other worker has anything to report
        self.client = self.app.test_client()
        self.living = {}
        self.opened = []

    def teardown(self):
        self.patch.undo()

    @initialize()
    def sign_up(self):
        self.empty_database()
        assert sign_up(self.client).status_code == 201

    @property
    def now(self):
        # No two events in one millisecond: which session was used last would be anyone's guess.
        self.clock.move(milliseconds=1)
        return self.clock.now()

    @rule(target=tokens)
    def log_in(self):
        now = self.now
        grant = log_in(self.client).json
        number = len(self.opened)
        self.opened.append(Session(now, grant))
        self.living = {key: session for key, session in self.living.items() if session.ends > now}
        self.living[number] = self.opened[-1]
        for key in sorted(self.living, key=lambda key: self.living[key].used)[:-MOST]:
            del self.living[key]
        return number, 0

    @rule(target=tokens, token=tokens)
    def refresh(self, token):
        number, generation = token
        session, now = self.opened[number], self.now
        form = {"grant_type": "refresh_token", "refresh_token": session.tokens[generation]}
        response = self.client.post("/api/auth/refresh", data=form)
        current = len(session.tokens) - 1
        alive = number in self.living and session.ends > now
        if alive and generation == current:
            assert response.status_code == 200
            session.tokens.append(response.json["refresh_token"])
            session.used = session.answered = now
            session.note_access(now, response.json)
            assert len(set(session.tokens)) == len(session.tokens)
            return number, current + 1
        in_grace = now - session.answered <= GRACE if session.answered else now - session.used <= UNANSWERED
        if alive and generation == current - 1 and in_grace:
            assert response.status_code == 200
            session.answered = session.answered or now
            assert response.json["refresh_token"] == session.tokens[current]
            session.note_access(now, response.json)
            return multiple()
        assert response.status_code == 401
        assert response.json["code"] == "invalid_grant"
        if alive:  # stolen
            del self.living[number]
        return multiple()

    @rule(token=tokens)
    def the_last_answer_was_lost(self, token):
        """The database had moved the session on, and went away before it said so."""
        session = self.opened[token[0]]
        if token[0] in self.living and len(session.tokens) > 1:
            self.lose_answer(session.access)
            session.answered = None

    @rule(token=tokens)
    def log_out(self, token):
        session, now = self.opened[token[0]], self.now
        response = self.client.post("/api/auth/logout", headers={"Authorization": f"Bearer {session.access}"})
        if token[0] in self.living and session.access_ends > now:
            assert response.status_code == 204
            del self.living[token[0]]
        else:
            assert response.status_code == 401

    @rule(
        time=st.sampled_from(
            [{"seconds": 4}, {"seconds": 11}, {"seconds": 45}, {"minutes": 16}, {"days": 6}, {"days": 13}, {"days": 15}]
        )
    )
    def time_passes(self, time):
        self.clock.move(**time)

    @invariant()
    def exactly_the_living_sessions_are_served(self):
        now = self.now
        for number, session in enumerate(self.opened):
            status = self.client.get("/api/users/me", headers={"Authorization": f"Bearer {session.access}"}).status_code
            assert status == (200 if number in self.living and session.access_ends > now else 401)


def test_sessions_live_as_the_model_has_it(make_app, users):
    SessionMachine.app = make_app(MAX_SESSIONS_PER_USER=MOST)

    def lose_answer(access_token):
        session_id = jwt.decode(access_token, options={"verify_signature": False})["sid"]
        users.update_one({"sessions.id": session_id}, {"$unset": {"sessions.$.answered": True}})

    SessionMachine.lose_answer = staticmethod(lose_answer)
    SessionMachine.empty_database = staticmethod(lambda: users.delete_many({}))
    run_state_machine_as_test(
        SessionMachine,
        # Each step is a request to a real database, and some runs take a second.
        settings=settings(max_examples=20, stateful_step_count=30),
    )
