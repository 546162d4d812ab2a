import json
import signal

import pytest
from mongod import free_port

from pixora import clock
from pixora.mail.sender import MOST_ATTEMPTS
from pixora.services import services


@pytest.fixture
def run(context, change_settings):
    """Run a `mail` command in this process, with some settings changed."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments, **settings):
        change_settings(context, **settings)
        return context.test_cli_runner().invoke(args=["mail", *arguments])

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_without_smtp_url_send_says_so(run, post):
    post()
    result = run("send")
    assert result.exit_code == 78
    assert "There is no SMTP_URL" in result.stderr


def test_send_sends_what_is_due(run, post, smtp):
    post()
    assert run("send", SMTP_URL=smtp.url).exit_code == 0
    assert len(smtp.received) == 1


def test_send_has_nothing_to_say_against_an_empty_outbox(run, smtp):
    assert run("send", SMTP_URL=smtp.url).exit_code == 0


def test_send_fails_when_a_letter_was_given_up(run, post, smtp):
    post()
    smtp.at_rcpt = "550 5.1.1 unknown"
    assert run("send", SMTP_URL=smtp.url).exit_code == 1


def test_a_letter_that_is_put_off_is_no_failure_of_send(run, post, smtp):
    post()
    smtp.at_rcpt = "450 4.2.0 greylisted"
    assert run("send", SMTP_URL=smtp.url).exit_code == 0


def test_send_fails_when_the_server_is_away(run, post):
    post()
    assert run("send", SMTP_URL=f"smtp://127.0.0.1:{free_port()}").exit_code == 75


def test_send_fails_when_the_server_is_away_and_the_letter_was_given_up(run, post, users):
    post()
    users.update_many({}, {"$set": {"letters.0.attempts": MOST_ATTEMPTS - 1}})
    assert run("send", SMTP_URL=f"smtp://127.0.0.1:{free_port()}").exit_code == 1


def test_send_fails_when_the_database_is_away(make_app, smtp):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    app = make_app(MONGO_URI=uri, DATABASE_TIMEOUT_MS=200, SMTP_URL=smtp.url)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    assert app.test_cli_runner().invoke(args=["mail", "send"]).exit_code == 75
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_show_prints_what_will_be_sent(run, post):
    post("verify_email")
    post("password_changed", to="grace@example.com")
    output = run("show").stdout
    assert "To: ada@example.com\nSubject: Confirm your e-mail address\nState: waiting to be sent\n" in output
    assert "\nhttp://127.0.0.1:8000/verify-email?token=" in output
    assert "To: grace@example.com\nSubject: Your password has changed\n" in output
    assert output.endswith("2 in the outbox.\n")


def test_show_says_when_there_is_nothing(run):
    assert run("show").stdout == "The outbox is empty.\n"


def test_show_has_json_for_programs(run, post):
    posted = post("reset_password")
    [shown] = json.loads(run("show", "--json").stdout)
    assert shown["id"] == posted["id"]
    assert shown["to"] == "ada@example.com"
    assert shown["template"] == "reset_password"
    assert shown["link"].startswith("http://127.0.0.1:8000/reset-password?token=")
    assert shown["link"] in shown["text"]
    assert shown["given_up"] is False


def test_in_production_the_link_is_not_shown(run, post):
    post("reset_password")
    result = run("show", "--json", PIXORA_ENV="production", PUBLIC_URL="https://auth.example.com")
    [shown] = json.loads(result.stdout)
    assert shown["link"] == "https://auth.example.com/reset-password?token=(hidden)"


def test_show_leaves_out_what_will_not_be_sent(run, post, move_clock):
    post("reset_password")
    move_clock(minutes=30)
    assert run("show").stdout == "The outbox is empty.\n"


def test_show_tells_what_has_failed_and_what_was_given_up(run, post, smtp):
    post(to="gone@example.com")
    post(to="full@example.com")
    smtp.at_rcpt = lambda recipient: "550 5.1.1 unknown" if recipient == "gone@example.com" else "452 4.2.2 full"
    run("send", SMTP_URL=smtp.url)
    output = run("show").stdout
    assert "State: given up after 1 attempts (550 5.1.1)\n" in output
    assert "State: attempt 1 failed (452 4.2.2), the next one is at 20" in output


def test_show_tells_of_a_letter_that_cannot_be_read(run, post):
    post("reset_password")
    assert "token=(encrypted-under-another-SECRET_KEY)" in run("show", SECRET_KEY="another").stdout


def test_a_letter_that_is_being_sent_is_shown(run, post):
    post()
    services.outbox.claim(clock.utcnow())
    assert "1 in the outbox." in run("show").stdout
