from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from pixora import clock
from pixora.accounts import updates
from pixora.accounts.outbox import KEPT, LEASE, TEMPLATES, UnreadableToken
from pixora.services import services
from tests.factories import fastapi_user

TOKEN = "the-token-of-a-link"


@pytest.fixture
def context(app):
    with app.app_context():
        yield


@pytest.fixture
def post(users, context):
    """Put e-mails into the document of a new user; return their ids."""

    def post(*letters, **fields):
        users.insert_one(fastapi_user(letters=list(letters), email=f"{letters[0]['id']}@example.com", **fields))
        return [letter["id"] for letter in letters]

    return post


def written(template="password_changed", *, due_in=0, **context):
    return services.outbox.compose(template, "ada@example.com", clock.utcnow() + timedelta(seconds=due_in), **context)


def test_a_composed_email_has_all_fields(context):
    now = clock.utcnow()
    made = services.outbox.compose("email_changing", "ada@example.com", now, detail="something")
    assert len(bytes.fromhex(made.pop("id"))) == 12
    assert made == {
        "template": "email_changing",
        "to": "ada@example.com",
        "context": {"detail": "something"},
        "created_at": now,
        "due_at": now,
        "attempts": 0,
    }


def test_an_email_needs_a_known_template(context):
    with pytest.raises(ValueError, match="there is no e-mail template"):
        services.outbox.compose("congratulations", "ada@example.com", clock.utcnow())


def test_tokens_are_stored_encrypted(users, post):
    post(written("reset_password", secret=TOKEN))
    assert TOKEN not in str(users.find_one())
    assert TOKEN.encode() not in users.find_one()["letters"][0]["token"]


def test_the_sender_decrypts_the_token(context):
    assert services.outbox.decrypt_token(written("reset_password", secret=TOKEN)) == TOKEN


def test_an_email_without_a_link_has_no_token(context):
    assert services.outbox.decrypt_token(written()) is None


def test_under_another_secret_key_the_token_cannot_be_read(context, make_app):
    made = written("reset_password", secret=TOKEN)
    with make_app(SECRET_KEY="another").app_context(), pytest.raises(UnreadableToken):
        services.outbox.decrypt_token(made)


def test_a_due_email_is_claimed_with_the_tokens_of_its_user(post):
    [letter_id] = post(written(), tokens={"reset_password": {"hash": b"x"}})
    claimed = services.outbox.claim(clock.utcnow())
    assert claimed.email["id"] == letter_id
    assert claimed.email["attempts"] == 1
    assert claimed.tokens == {"reset_password": {"hash": b"x"}}


def test_nothing_is_claimed_before_it_is_due(post):
    post(written(due_in=60))
    assert services.outbox.claim(clock.utcnow()) is None


def test_each_email_of_a_user_is_claimed_once(post):
    posted = post(written(), written(due_in=60), written(), written())
    claimed = [services.outbox.claim(clock.utcnow()) for _ in range(4)]
    assert claimed.pop() is None
    assert {one.email["id"] for one in claimed} == {posted[0], posted[2], posted[3]}


def test_the_email_due_longest_is_claimed_first(post):
    [late], [early], [middle] = (post(written(due_in=-seconds)) for seconds in (1, 3, 2))
    assert [services.outbox.claim(clock.utcnow()).email["id"] for _ in range(3)] == [early, middle, late]


def test_each_email_is_claimed_by_one_of_many_senders(app, post):
    posted = post(*(written() for _ in range(5)))

    def claim(_):
        with app.app_context():
            return services.outbox.claim(clock.utcnow())

    with ThreadPoolExecutor(20) as pool:
        claimed = [one.email["id"] for one in pool.map(claim, range(40)) if one]
    assert sorted(claimed) == sorted(posted)


def test_an_email_is_claimed_again_after_the_lease_of_a_dead_sender(post, move_clock):
    post(written())
    services.outbox.claim(clock.utcnow())
    move_clock(seconds=LEASE.total_seconds() - 1)
    assert services.outbox.claim(clock.utcnow()) is None
    move_clock(seconds=1)
    assert services.outbox.claim(clock.utcnow()).email["attempts"] == 2


def test_removing_an_email_keeps_the_others(users, post):
    _, other = post(written(due_in=-1), written())
    claimed = services.outbox.claim(clock.utcnow())
    services.outbox.remove(claimed.user_id, claimed.email["id"])
    assert [left["id"] for left in users.find_one()["letters"]] == [other]


def test_a_postponed_email_is_due_at_its_new_time(post, move_clock):
    post(written())
    services.outbox.postpone(services.outbox.claim(clock.utcnow()), clock.utcnow() + timedelta(seconds=30), "451")
    assert services.outbox.claim(clock.utcnow()) is None
    move_clock(seconds=30)
    assert services.outbox.claim(clock.utcnow()).email["failure"] == "451"


def test_an_email_that_was_given_up_is_listed_and_not_claimed(post, move_clock):
    post(written())
    services.outbox.give_up(services.outbox.claim(clock.utcnow()), clock.utcnow(), "550 5.1.1")
    move_clock(days=1)
    assert services.outbox.claim(clock.utcnow()) is None
    [listed] = services.outbox.list_emails()
    assert listed.email["failure"] == "550 5.1.1"
    assert listed.email["given_up_at"] is not None


@pytest.mark.parametrize("verdict", ["postpone", "give_up"])
def test_a_sender_whose_lease_has_expired_changes_nothing(users, post, move_clock, verdict):
    post(written())
    late = services.outbox.claim(clock.utcnow())
    move_clock(seconds=LEASE.total_seconds())
    services.outbox.claim(clock.utcnow())
    before = users.find_one()
    getattr(services.outbox, verdict)(late, clock.utcnow(), "451")
    assert users.find_one() == before


def test_only_emails_given_up_long_ago_are_deleted(users, post, move_clock):
    _, waiting = post(written(due_in=-1), written())
    services.outbox.give_up(services.outbox.claim(clock.utcnow()), clock.utcnow(), "550")
    move_clock(days=KEPT.days, seconds=-1)
    services.outbox.delete_expired(clock.utcnow())
    assert len(users.find_one()["letters"]) == 2
    move_clock(seconds=1)
    services.outbox.delete_expired(clock.utcnow())
    assert [left["id"] for left in users.find_one()["letters"]] == [waiting]


def test_the_oldest_email_is_listed_first(post):
    [young], [old] = post(written(due_in=-1)), post(written(due_in=-2))
    assert [one.email["id"] for one in services.outbox.list_emails()] == [old, young]


@pytest.mark.parametrize("method", ["claim", "delete_expired", "list_emails"])
def test_queries_for_the_outbox_use_its_index(mongo, users, post, watch_commands, method):
    post(written())
    users.insert_many([fastapi_user(email=f"{number}@example.com") for number in range(20)])
    with watch_commands() as commands:
        getattr(services.outbox, method)(*[] if method == "list_emails" else [clock.utcnow() + timedelta(days=100)])
    [command] = [event for event in commands if event.command_name in ("find", "update", "findAndModify")]
    unwanted = ("lsid", "txnNumber", "$db", "$clusterTime", "maxTimeMS", "writeConcern", "$readPreference")
    plain = {name: value for name, value in command.command.items() if name not in unwanted}
    told = mongo.get_default_database().command({"explain": plain, "verbosity": "executionStats"})
    assert told["executionStats"]["totalDocsExamined"] <= 1


@pytest.fixture
def queue(users, post):
    """Queue e-mails for a user, each in an update of its own; return the templates and recipients that wait."""
    post(written("password_changed"))
    user_id = users.find_one()["_id"]

    def queue(template, number, *, to=lambda number: "ada@example.com", **options):
        for one in range(number):
            email = services.outbox.compose(template, to(one), clock.utcnow(), **options, number=str(one))
            assert services.users.update_user(user_id, updates.queue_emails(email))
        return [(email["template"], email["to"]) for email in users.find_one()["letters"]]

    return queue


def test_a_notice_that_waits_is_not_pushed_out_by_other_emails(queue, users):
    notice = users.find_one()["letters"][0]
    queue("email_changing", 30)
    queue("reset_password", 30, secret=TOKEN)
    queue("change_email", 30, secret=TOKEN, to=lambda number: f"{number}@example.org")
    waiting = queue("address_taken", 30, to=lambda number: f"{number}@example.org")
    assert users.find_one()["letters"][0] == notice
    assert waiting.count(("email_changing", "ada@example.com")) == updates.MAX_ALIKE
    assert len(waiting) <= updates.MANY_EMAILS + 1
    newest = [
        email["context"]["number"] for email in users.find_one()["letters"] if email["template"] == "email_changing"
    ]
    assert newest == ["27", "28", "29"]


def test_a_notice_to_the_former_address_is_not_pushed_out_by_those_to_the_new_one(queue):
    queue("email_changed", 1)
    waiting = queue("email_changed", 30, to=lambda number: "thief@example.org")
    assert waiting.count(("email_changed", "ada@example.com")) == 1
    assert waiting.count(("email_changed", "thief@example.org")) <= updates.MANY_EMAILS


def test_one_e_mail_of_each_template_can_wait_as_often_as_is_allowed(queue, users):
    for template in TEMPLATES:
        waiting = queue(template, updates.MANY_EMAILS)
    assert {template for template, _ in waiting} == set(TEMPLATES)
    assert len(waiting) <= updates.MAX_EMAILS


def test_of_links_the_newest_one_stays(queue, users):
    queue("verify_email", 1, secret=TOKEN)
    assert queue("reset_password", 5, secret=TOKEN).count(("reset_password", "ada@example.com")) == 5
    waiting = queue("reset_password", updates.MANY_EMAILS, secret=TOKEN)
    assert [template for template, _ in waiting][:2] == ["password_changed", "verify_email"]
    assert users.find_one()["letters"][-1]["context"]["number"] == str(updates.MANY_EMAILS - 1)


def test_the_emails_of_one_user_are_bounded(queue):
    waiting = queue("email_changed", 2 * updates.MAX_EMAILS, to=lambda number: f"{number}@example.org")
    assert len(waiting) == updates.MAX_EMAILS
