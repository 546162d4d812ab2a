"""What the tests of the account's life share."""

NEW_PASSWORD = "analytical-engine-no-1"


def is_refused(response, reason=None):
    """Tell whether a one-time token was refused, as all are."""
    return (response.status_code, response.json["code"]) == (400, "invalid_one_time_token")
