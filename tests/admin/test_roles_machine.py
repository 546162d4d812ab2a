"""Roles and disabled accounts, in any order of events over two instances of the service, compared with a model."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pixora.admin import service
from pixora.admin.changes import OPERATOR
from pixora.errors import LastAdmin, UserNotFound
from tests.factories import HASH_2B, PASSWORD, fastapi_user, log_in

NAMES = "ada", "bob", "eve"


class Person:
    """The expected state of a user."""

    def __init__(self, name, roles):
        self.user = fastapi_user(email=f"{name}@example.com", password=HASH_2B, roles=roles)
        self.id, self.roles = self.user["_id"], roles
        self.disabled = self.gone = False
        self.tokens = []
        self.living = set()

    @property
    def is_admin(self):
        return "admin" in self.roles and not self.disabled and not self.gone


class RolesMachine(RuleBasedStateMachine):
    apps = database = None  # given by the test

    people = st.sampled_from(NAMES)
    either = st.sampled_from([0, 1])
    actions = st.sampled_from(["promote", "demote", "admin only", "disable", "enable", "end sessions"])

    @initialize()
    def begin(self):
        for name in ("users", "audit"):
            self.database()[name].delete_many({})
        self.person = {name: Person(name, ["user", "admin"] if name == "ada" else ["user"]) for name in NAMES}
        self.database()["users"].insert_many(person.user for person in self.person.values())
        self.clients = [app.test_client() for app in self.apps]
        self.events = 0

    @property
    def documents(self):
        return {user["_id"]: user for user in self.database()["users"].find()}

    @rule(name=people, at=either)
    def log_in(self, name, at):
        person = self.person[name]
        response = log_in(self.clients[at], person.user["email"])
        if person.disabled or person.gone:
            assert (response.status_code, response.json["code"]) == (401, "invalid_credentials")
        else:
            assert response.status_code == 200
            person.living.add(len(person.tokens))
            person.tokens.append(response.json)

    @rule(name=people, number=st.integers(0, 3), at=either)
    def refresh(self, name, number, at):
        person = self.person[name]
        if number < len(person.tokens):
            form = {"grant_type": "refresh_token", "refresh_token": person.tokens[number]["refresh_token"]}
            response = self.clients[at].post("/api/auth/refresh", data=form)
            assert response.status_code == (200 if number in person.living else 401)
            if response.status_code == 200:
                person.tokens[number] = response.json

    @rule(name=people, whom=people, action=actions, at=either)
    def act(self, name, whom, action, at):
        by, target = self.person[name], self.person[whom]
        path, status = f"/api/admin/users/{target.id}", 204
        if not by.tokens:
            return
        headers = {"Authorization": f"Bearer {by.tokens[-1]['access_token']}"}
        before = self.documents.get(target.id)
        match action:
            case "disable" | "enable":
                response = self.clients[at].post(f"{path}/{action}", headers=headers)
            case "end sessions":
                response = self.clients[at].delete(f"{path}/sessions", headers=headers)
            case _:
                status, body = 200, {"roles": self.roles_by(action)}
                response = self.clients[at].put(f"{path}/roles", headers=headers, json=body)
        if len(by.tokens) - 1 not in by.living:
            expected = 401
        elif not by.is_admin:
            expected = 403
        elif target.gone:
            expected = 404
        else:
            expected = self.expect(target, action) or status
        assert response.status_code == expected
        self.look_at_the_document(target, before, expected < 300 and action)

    @rule(whom=people, action=st.sampled_from(["promote", "demote", "disable", "enable", "end sessions"]), at=either)
    def command(self, whom, action, at):
        target = self.person[whom]
        before = self.documents.get(target.id)
        done = None
        with self.apps[at].app_context():
            try:
                match action:
                    case "disable":
                        service.disable(target.id, by=OPERATOR)
                    case "enable":
                        service.enable(target.id, by=OPERATOR)
                    case "end sessions":
                        service.end_sessions(target.id, by=OPERATOR)
                    case _:
                        service.set_roles(target.id, self.roles_by(action), by=OPERATOR)
            except LastAdmin:
                done = 409
            except UserNotFound:
                done = 404
        assert done == (404 if target.gone else self.expect(target, action))
        self.look_at_the_document(target, before, done is None and action)

    @rule(name=people, at=either)
    def delete_own_account(self, name, at):
        person = self.person[name]
        if not person.living:
            return
        headers = {"Authorization": f"Bearer {person.tokens[max(person.living)]['access_token']}"}
        response = self.clients[at].delete("/api/users/me", headers=headers, json={"password": PASSWORD})
        if person.is_admin and self.admins == 1:
            assert (response.status_code, response.json["code"]) == (409, "last_admin")
        else:
            assert response.status_code == 204
            person.gone = True
            person.living.clear()

    @staticmethod
    def roles_by(action):
        return {"promote": ["user", "admin"], "demote": ["user"], "admin only": ["admin"]}[action]

    @property
    def admins(self):
        return sum(person.is_admin for person in self.person.values())

    def expect(self, target, action):
        """Apply the action to the model; return the status if it must be refused."""
        is_the_last = target.is_admin and self.admins == 1
        self.changed = False
        match action:
            case "disable" if not target.disabled:
                if is_the_last:
                    return 409
                target.disabled = self.changed = True
                target.living.clear()
            case "enable" if target.disabled:
                target.disabled, self.changed = False, True
            case "end sessions" if target.living:
                target.living.clear()
                self.events += 1
            case "promote" | "demote" | "admin only" if target.roles != self.roles_by(action):
                if is_the_last and action == "demote":
                    return 409
                target.roles, self.changed = self.roles_by(action), True
        self.events += self.changed
        return None

    def look_at_the_document(self, target, before, action):
        after = self.documents.get(target.id)
        if not action:
            assert after == before
        elif self.changed:
            assert after["updated_at"] > before["updated_at"]
        else:
            assert after == before | {"sessions": after.get("sessions", [])} or after == before

    @invariant()
    def there_is_an_administrator(self):
        admins = self.database()["users"].count_documents({"roles": "admin", "disabled": {"$ne": True}})
        assert admins == self.admins >= 1

    @invariant()
    def exactly_the_open_sessions_are_served_with_the_current_roles(self):
        for person in self.person.values():
            for number, grant in enumerate(person.tokens):
                headers = {"Authorization": f"Bearer {grant['access_token']}"}
                response = self.clients[number % 2].get("/api/users/me", headers=headers)
                assert response.status_code == (200 if number in person.living else 401)
                if response.status_code == 200:
                    assert response.json["roles"] == person.roles

    @invariant()
    def disabled_users_have_no_session(self):
        assert self.database()["users"].count_documents({"disabled": True, "sessions.0": {"$exists": True}}) == 0

    @invariant()
    def every_action_is_audited_once(self):
        assert self.database()["audit"].count_documents({"by": {"$exists": True}}) == self.events


def test_accounts_match_the_model(session_app, other_app, mongo, users):
    RolesMachine.apps = session_app, other_app
    RolesMachine.database = staticmethod(mongo.get_default_database)
    run_state_machine_as_test(
        RolesMachine,
        # Each step is some requests to a real database, and some runs take a second.
        settings=settings(max_examples=15, stateful_step_count=30),
    )
