"""What the OpenAPI document promises, tried with requests that schemathesis makes from the document itself.

Its engine is used and not its plug-in for pytest: only the engine goes on to sequences of requests, by the links and
Location headers that it finds on its way, and the plug-in does not know pytest 9.
"""

import datetime
import itertools
import string
from collections import defaultdict
from random import Random

import email_validator
import phonenumbers
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.engine import events, from_schema
from zxcvbn_rs_py import zxcvbn

from pixora.passwords import policy
from pixora.web import fields
from tests.conftest import coverage_paused, make_account
from tests.factories import fastapi_user

OWNER = "owner@pixora.example.com"

# All checks are on. These three are told more strictly than by default which statuses may come.
CHECKS = {
    "not_a_server_error": {"expected-statuses": ["2xx", "304", "4xx"]},
    "positive_data_acceptance": {"expected-statuses": ["2xx"]},
    "negative_data_rejection": {"expected-statuses": ["400", "405", "415", "422"]},
}
GENERATION = {"deterministic": True, "database": "none", "max-examples": 5}
OPERATIONS = [
    {"include-path-regex": "^/api/admin/", "enabled": False},  # see ADMIN_OPERATIONS
    {
        "include-path": "/api/auth/signup",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["201", "409"]}},
    },
    {
        "include-path": "/api/auth/login",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["200", "401"]},
            # A form has no place for {} and []: what was wrong because of such a value is sent without it. An empty
            # field counts as absent, so it breaks no pattern: 200.
            "negative_data_rejection": {"expected-statuses": ["200", "400", "401", "405", "415", "422"]},
        },
    },
    {
        "include-path": "/api/auth/refresh",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["200", "401"]},  # most refresh tokens are made up
            "negative_data_rejection": {"expected-statuses": ["400", "401", "405", "415", "422"]},
        },
    },
    {
        # The same at the endpoints for OAuth clients; there a made-up client secret is refused with 401.
        "include-path": "/api/auth/token",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["200", "400", "401"]},
            "negative_data_rejection": {"expected-statuses": ["400", "401", "405", "415"]},
        },
    },
    {
        "include-path": "/api/auth/revoke",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["200", "401"]},
            "negative_data_rejection": {"expected-statuses": ["200", "400", "401", "405", "415"]},
        },
    },
    {
        # It wants the key of a service and not the token of a user.
        "include-path": "/api/auth/introspect",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["401"]},
            "negative_data_rejection": {"expected-statuses": ["401", "405"]},
        },
    },
    {
        # Only an authenticator can sign; the document does not say that either password or credential is wanted.
        "include-path": "/api/auth/reauthenticate",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "401", "403", "422"]}},
    },
    {
        # The owner has no passkey.
        "include-path": "/api/auth/reauthenticate/options",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["404"]}},
    },
    {
        "include-path": "/api/users/me/sessions/{session_id}",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["204", "404"]},
            "negative_data_rejection": {"expected-statuses": ["404", "405"]},
        },
    },
    {
        # Nor can the token of a letter.
        "include-path-regex": "^/api/auth/(verify-email|password-reset|change-email|invitation)/confirm$",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["400", "422"]},  # 422: with a password, it is required
        },
    },
    {
        # The owner's password is the one of the examples; any other is wrong, and none is refused.
        "include-path-regex": "^/api/users/me/(password|email)$",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["202", "204", "403", "409", "422"]},
            # schemathesis takes an empty password for malformed; it is a wrong one.
            "negative_data_rejection": {"expected-statuses": ["400", "403", "405", "415", "422"]},
        },
    },
    {
        # Nor can the token of a first step; the document does not say that one of two fields is wanted.
        "include-path": "/api/auth/mfa",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["401", "422"]},
            "negative_data_rejection": {"expected-statuses": ["400", "401", "405", "415", "422"]},
        },
    },
    {
        # The owner has no second factor.
        "include-path-regex": "^/api/users/me/factors/(totp|totp/confirm|recovery-codes)$",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["201", "404", "409"]}},
    },
    {
        # What only an authenticator can sign.
        "include-path-regex": "^/api/(auth/passkeys/login|users/me/passkeys)$",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "401", "422"]}},
    },
    {
        # The path is also that of a passkey whose id would be "options", which other methods take.
        "include-path": "/api/users/me/passkeys/options",
        "checks": {"allow_header_conformance": {"enabled": False}},
    },
    {
        "include-path": "/api/users/me/passkeys/{passkey_id}",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["404"]},
            "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "415", "422"]},
        },
    },
    {
        "include-name": "DELETE /api/users/me",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["204", "403", "422"]},
            "negative_data_rejection": {"expected-statuses": ["400", "403", "405", "415", "422"]},
        },
    },
    {
        "include-name": "GET /api/users/me",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "304"]}},
    },
    {
        "include-name": "PATCH /api/users/me",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "412"]}},
    },
    {
        # Nor can a cursor.
        "include-name": "GET /api/users/me/events",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "422"]}},
    },
    {
        # Not for whoever comes without an address, or without the doctor's secret.
        # And the document about apps of Apple, of which the tests have none.
        "include-path-regex": "^/(metrics|health/client|.well-known/apple-app-site-association)$",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "404"]}},
    },
    {
        "include-path": "/api/users/{user_id}",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["200", "304", "403"]},
            "negative_data_rejection": {"expected-statuses": ["403", "405"]},
        },
    },
]
ADMIN_OPERATIONS = [
    {"exclude-path-regex": "^/api/admin/", "enabled": False},
    {
        # Nor can a cursor be made up.
        "include-path": "/api/admin/users",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "201", "409", "422"]}},
    },
    {
        "include-path": "/api/admin/users/{user_id}/events",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "404", "422"]}},
    },
    {
        "include-path-regex": "^/api/admin/users/(?!.*/events$)",
        "checks": {
            # 409 and 403 for the administrator's own id, which schemathesis finds in the list.
            "positive_data_acceptance": {
                "expected-statuses": ["200", "202", "204", "304", "403", "404", "409", "412"],
            },
            "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "415", "422"]},
        },
    },
]


def load(app, **settings):
    """Return the document, to be tried with these settings of schemathesis, and with the same requests every time."""
    settings = {"seed": 1, "continue-on-failure": True, "generation": GENERATION, "checks": CHECKS} | settings
    return schemathesis.openapi.from_wsgi("/openapi.json", app, config=schemathesis.Config.from_dict(settings))


# What JSON Schema can name, as a format, but not describe. Of the strings that schemathesis would make for these, the
# service rightly refuses most; ours are made as widely as the rules allow.


def is_address(text):
    try:
        email_validator.validate_email(text, check_deliverability=False)
    except email_validator.EmailNotValidError:
        return False
    return len(text.rpartition("@")[0].casefold()) <= 64  # as it is stored


def made(make, is_right):
    """Return a strategy of a hundred values, made once: new ones for each request would take most of the run."""
    random = Random(1)
    values = (make(random) for _ in itertools.count())
    return st.sampled_from([*itertools.islice(filter(is_right, values), 100)])


def text(random, alphabet, longest, shortest=1):
    return "".join(random.choices(alphabet, k=random.randint(shortest, longest)))


def email(random):
    """Return what may be an address that could exist: schemathesis makes many under .test and .example."""
    plain = string.ascii_letters + string.digits
    others = "äÖßéñøİıΣςЖдالعربيהן日本語한글ﬁ"
    local = text(random, plain + others + "!#$%&'*+-/=?^_`{|}~.", random.choice([3, 20, 64]))
    domain = text(random, plain + others + "-", random.choice([3, 20, 63]))
    return f"{local}@{domain}.{random.choice(['com', 'org', 'CO.UK', 'de', 'рф'])}"


def password(random):
    """Return 12 to 72 characters of any script."""
    return text(random, string.printable[:95] + "äßéΣЖ日語한🙂\u0301", 72, shortest=12)


def telephone_numbers():
    """A number of every country, in each way of writing it that has the country code."""
    numbers = [phonenumbers.example_number(region) for region in sorted(phonenumbers.SUPPORTED_REGIONS)]
    ways = phonenumbers.PhoneNumberFormat
    return st.builds(
        phonenumbers.format_number,
        st.sampled_from([number for number in numbers if number and phonenumbers.is_valid_number(number)]),
        st.sampled_from([ways.E164, ways.INTERNATIONAL, ways.RFC3966]),
    )


def birthdays():
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    return st.dates(datetime.date(1900, 1, 1), yesterday).map(str)


def is_hard_to_guess(password):
    return len(password.encode()) <= 72 and int(zxcvbn(password).score) >= 3


@pytest.fixture(scope="module", autouse=True)
def formats():
    schemathesis.openapi.format("email", made(email, is_address))
    schemathesis.openapi.format("phone", telephone_numbers())
    schemathesis.openapi.format("date", birthdays())
    schemathesis.openapi.format("password", made(password, is_hard_to_guess))


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
