"""What the OpenAPI document promises, tried with requests that schemathesis makes from the document itself.

Its engine is used and not its plug-in for pytest: only the engine goes on to sequences of requests, by the links and
Location headers that it finds on its way, and the plug-in does not know pytest 9.
"""

from collections import defaultdict

import pytest
import schemathesis
from schemathesis.engine import events, from_schema

from pixora.passwords import policy
from pixora.web import fields
from tests.conftest import coverage_paused, make_account
from tests.factories import fastapi_user
from tests.system import made_up
from tests.system.made_up import is_hard_to_guess, made
from tests.system.operations import ADMIN_OPERATIONS, CHECKS, GENERATION, OPERATIONS

OWNER = "owner@pixora.example.com"


def load(app, **settings):
    """Return the document, to be tried with these settings of schemathesis, and with the same requests every time."""
    settings = {"seed": 1, "continue-on-failure": True, "generation": GENERATION, "checks": CHECKS} | settings
    return schemathesis.openapi.from_wsgi("/openapi.json", app, config=schemathesis.Config.from_dict(settings))


@pytest.fixture(scope="module", autouse=True)
def formats():
    schemathesis.openapi.format("email", made(made_up.email, made_up.is_address))
    schemathesis.openapi.format("phone", made_up.telephone_numbers())
    schemathesis.openapi.format("date", made_up.birthdays())
    schemathesis.openapi.format("password", made(made_up.password, is_hard_to_guess))


NEW_PASSWORDS = {
    "POST /api/auth/signup": "password",
    "POST /api/users/me/password": "new_password",
    "POST /api/auth/password-reset/confirm": "new_password",
}


def is_easy_to_guess(case):
    """Whether a body is as the document says but for its new password, alone or beside the names and the e-mail."""
    field = NEW_PASSWORDS.get(case.operation.label)
    if field is None or not case.meta.generation.mode.is_positive:
        return False
    body = case.body
    if not is_hard_to_guess(body[field]):  # schemathesis makes some without a look at the format
        return True
    if body.get("current_password") == body[field]:
        return True
    user = {name: body.get(name) or "Owner" for name in ("first_name", "last_name", "email")}
    try:
        policy.check_length(body[field], 12)
        policy.check_strength(body[field], policy.known_words(user))
    except policy.PasswordRejected:
        return True
    return False


def has_an_invisible_name(case):
    """Whether a body is as the document says but for a name with nothing to see: no pattern has all such characters."""
    if not case.meta.generation.mode.is_positive or not isinstance(case.body, dict):
        return False
    names = [case.body[name] for name in ("first_name", "last_name") if name in case.body]
    return not all(any(map(fields._is_visible, name)) for name in names)


def is_ones_own_address(case):
    """Whether the owner asks for a change to the address that is there already, which is refused."""
    return case.operation.label == "POST /api/users/me/email" and OWNER in str(case.body)


def is_right_after_all(case):
    """Whether the only fault is a "*" at the end of a string, put there to break a pattern.

    Schemathesis 4.32 does not look whether that breaks it (violate_pattern in its value_channel.py), and none of our
    patterns minds. Other requests of its do break them.
    """
    mutations = getattr(case.meta.phase.data, "mutations", ())
    return bool(mutations) and all(
        (mutation.operator, mutation.keywords) == ("value_violator", ("pattern",)) for mutation in mutations
    )


@pytest.fixture(autouse=True)
def _unmeasured():
    """Measure no coverage: making the requests is most of the work, and the tests of each route cover it."""
    with coverage_paused():
        yield


def run(schema):
    """Run all phases; return what was at fault, as text, and the statuses that were seen, by operation."""

    @schema.hook
    def filter_case(context, case):
        excluded = is_easy_to_guess, has_an_invisible_name, is_ones_own_address, is_right_after_all
        return not any(is_excluded(case) for is_excluded in excluded)

    faults, seen = {}, defaultdict(set)
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished(recorder=recorder):
                for case_id, interaction in recorder.interactions.items():
                    response = interaction.response
                    path = recorder.cases[case_id].value.operation.path
                    seen[f"{interaction.request.method} {path}"].add(response.status_code)
                    for check in recorder.checks.get(case_id, ()):
                        if found := check.failure_info:
                            fault = f"{found.failure.operation}: {found.failure.title}\n{found.failure.message}"
                            request = f"{found.code_sample}\n→ {response.status_code} {response.text}"
                            faults.setdefault(fault, request)
            case events.NonFatalError(label=label, value=error):  # what a view raised, too
                faults[f"{label}: {error!r}"] = ""
            case events.FatalError(exception=error):
                raise error
    return "\n\n".join(f"{fault}\n{request}" for fault, request in faults.items()), seen


@pytest.fixture
def app(make_app, users):
    """The service as it runs, but with nothing used up by what was tried before.

    All addresses but the owner's are free again before each sign-up, and the owner, whom some requests change, sign out
    or delete, is there again as at first before each of the owner's.
    """
    app = make_app(TESTING=False)
    inner = app.wsgi_app

    def with_nothing_used_up(environ, start_response):
        if environ["PATH_INFO"] == "/api/auth/signup":
            users.delete_many({"email": {"$ne": OWNER}})
        if "HTTP_AUTHORIZATION" in environ:
            for user in app.restored:
                users.replace_one({"_id": user["_id"]}, user, upsert=True)
        return inner(environ, start_response)

    app.owner = make_account(app.test_client(), email=OWNER)
    owner = users.find_one({"email": OWNER})
    app.owner_stored = owner
    app.restored = [owner]
    app.wsgi_app = with_nothing_used_up
    return app


@pytest.fixture
def owner(app):
    return app.owner


def authorize(schema, token):
    @schema.auth()
    class Bearer:
        def get(self, case, context):
            return token

        def set(self, case, data, context):
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


def test_every_route_keeps_the_promises_of_the_document(app, owner):
    schema = load(app, operations=OPERATIONS)
    authorize(schema, owner.token)
    faults, seen = run(schema)
    assert not faults, faults
    # Or else the run would have been about little.
    assert seen["POST /api/auth/signup"] >= {201, 409, 415, 422}
    assert seen["POST /api/auth/login"] >= {200, 401, 415, 422}
    assert seen["POST /api/auth/refresh"] >= {401, 415, 422}
    assert seen["POST /api/auth/token"] >= {400, 415}
    assert seen["POST /api/auth/revoke"] >= {200, 400, 415}
    assert seen["POST /api/auth/introspect"] == {401}
    assert seen["POST /api/auth/reauthenticate"] >= {200, 403, 415, 422}
    assert seen["POST /api/auth/logout"] == {204}
    assert seen["GET /api/users/me"] >= {200}
    assert seen["PATCH /api/users/me"] >= {200, 412, 415, 422}
    assert seen["POST /api/users/me/password"] >= {204, 403, 415, 422}
    assert seen["POST /api/users/me/email"] >= {202, 403, 415, 422}
    assert seen["DELETE /api/users/me"] >= {204, 415, 422}
    assert seen["GET /api/users/me/export"] == {200}
    assert seen["POST /api/auth/verify-email"] == {202}
    assert seen["POST /api/auth/password-reset"] >= {202, 415, 422}
    assert seen["POST /api/auth/password-reset/confirm"] >= {400, 415, 422}
    assert seen["DELETE /api/users/me/sessions"] >= {204, 422}
    assert seen["GET /api/users/{user_id}"] == {403}  # an id that is made up is not one's own


class TestSomeRoutes:
    """A class, so that another of the workers runs it beside the test above: xdist keeps a module or class together."""

    def test_the_profile_by_ones_own_id_keeps_them(self, app, owner):
        checks = CHECKS | {"positive_data_acceptance": {"expected-statuses": ["200", "304"]}}
        schema = load(app, parameters={"path.user_id": owner.id}, checks=checks)
        authorize(schema, owner.token)
        faults, seen = run(schema.include(path="/api/users/{user_id}"))
        assert not faults, faults
        assert seen["GET /api/users/{user_id}"] == {200, 304}

    @pytest.mark.parametrize("target", ["another", "someone made up"])
    def test_the_routes_of_administrators_keep_them(self, app, users, owner, target):
        app.owner_stored["roles"] = ["user", "admin"]
        other = fastapi_user()
        app.restored.append(other)
        parameters = {"path.user_id": other["_id"]} if target == "another" else {}
        few = {"generation": GENERATION | {"max-examples": 3}, "phases": {"stateful": {"enabled": False}}}
        schema = load(app, operations=ADMIN_OPERATIONS, parameters=parameters, **few)
        authorize(schema, owner.token)
        faults, seen = run(schema)
        assert not faults, faults
        found = {200, 204} if target == "another" else {404}
        assert seen["GET /api/admin/users"] == {200, 422}
        for operation in ("GET ", "POST disable", "POST enable", "DELETE sessions", "PUT roles"):
            method, action = operation.split(" ")
            path = "/api/admin/users/{user_id}" + (action and f"/{action}")
            assert seen[f"{method} {path}"] & found, operation

    def test_protected_routes_keep_them_for_clients_without_a_right_token(self, app):
        only_refused = {"expected-statuses": ["401", "405"]}
        checks = CHECKS | {"positive_data_acceptance": only_refused, "negative_data_rejection": only_refused}
        # Few requests will do: a body that is not looked at cannot make a difference.
        few = {"generation": GENERATION | {"max-examples": 3}, "phases": {"coverage": {"enabled": False}}}
        schema = load(app, checks=checks, **few)
        # {} is the alternative of a token that may be missing.
        faults, seen = run(
            schema.include(lambda context: {} not in (context.operation.definition.raw["security"] or [{}]))
        )
        assert not faults, faults
        assert seen["POST /api/auth/logout"] == seen["DELETE /api/users/me/sessions"] == {401}
        assert seen["GET /api/users/me"] == seen["GET /api/users/{user_id}"] == {401}
