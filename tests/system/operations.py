"""How schemathesis tries each operation: which statuses may come, and how many requests it makes."""

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
        # Not for clients without an address, or without the doctor's secret.
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
