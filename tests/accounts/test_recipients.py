"""What an e-mail may be adapted to: the languages of the user, and the names where the address is theirs."""

import pytest

from pixora import clock
from pixora.accounts.outbox import Recipient
from tests.factories import fastapi_user


@pytest.fixture
def recipient(app, users):
    """The recipient of an e-mail to an address, that waits in the document of a user."""

    def recipient(to="grace@example.com", **changes):
        users.delete_many({})
        with app.app_context():
            outbox = app.extensions["services"].outbox
            email = outbox.compose("password_changed", to, clock.utcnow())
            users.insert_one(fastapi_user(email="grace@example.com") | changes | {"letters": [email]})
            [listed] = outbox.list_emails()
            assert outbox.claim(clock.utcnow()).recipient == listed.recipient
            return listed.recipient

    return recipient


def test_the_owner_of_a_verified_address_is_named(recipient):
    assert recipient(email_verified=True) == Recipient((), "Grace", "Hopper")


def test_a_stranger_could_have_typed_the_name_of_an_unverified_address(recipient):
    assert recipient() == Recipient()
    assert recipient(to="somebody@example.com", email_verified=True) == Recipient()


@pytest.mark.parametrize(
    ("stored", "languages"),
    [
        ({"locale": "de"}, ("de",)),
        ({"locale": "de", "accept_language": ["fr"]}, ("de",)),
        ({"accept_language": ["fr", "en"]}, ("fr", "en")),
        ({"locale": None, "accept_language": ["fr", "en"]}, ("fr", "en")),
        ({}, ()),
    ],
)
def test_the_chosen_language_comes_before_that_of_the_browser(recipient, stored, languages):
    assert recipient(**stored).languages == languages
