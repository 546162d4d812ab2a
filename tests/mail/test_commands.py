import json
import signal

import pytest
from mongod import free_port

from pixora import clock
from pixora.mail.sender import MAX_ATTEMPTS
from pixora.services import services


@pytest.fixture
def run(context, change_settings):
    """Run a `mail` command in this process, with changed settings."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments, **settings):
        change_settings(context, **settings)
        return context.test_cli_runner().invoke(args=["mail", *arguments])

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_send_fails_without_smtp_url(run, post):
    post()
    result = run("send")
    assert result.exit_code == 78
    assert "SMTP_URL is not set" in result.stderr


def test_send_sends_what_is_due(run, post, smtp):
    post()
    assert run("send", SMTP_URL=smtp.url).exit_code == 0
    assert len(smtp.received) == 1


def test_send_succeeds_with_an_empty_outbox(run, smtp):
    assert run("send", SMTP_URL=smtp.url).exit_code == 0


def test_send_fails_when_an_email_is_given_up(run, post, smtp):
    post()
    smtp.at_rcpt = "550 5.1.1 unknown"
    assert run("send", SMTP_URL=smtp.url).exit_code == 1


def test_send_succeeds_when_an_email_is_deferred(run, post, smtp):
    post()
    smtp.at_rcpt = "450 4.2.0 greylisted"
    assert run("send", SMTP_URL=smtp.url).exit_code == 0


def test_send_fails_when_the_server_is_unavailable(run, post):
    post()
    assert run("send", SMTP_URL=f"smtp://127.0.0.1:{free_port()}").exit_code == 75


def test_an_email_given_up_decides_the_exit_status_when_the_server_is_unavailable(run, post, users):
    post()
    users.update_many({}, {"$set": {"letters.0.attempts": MAX_ATTEMPTS - 1}})
    assert run("send", SMTP_URL=f"smtp://127.0.0.1:{free_port()}").exit_code == 1


def test_send_fails_when_the_database_is_unavailable(make_app, smtp):
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
    assert "To: ada@example.com\nSubject: Verify your e-mail address\nState: waiting to be sent\n" in output
    assert "\nhttp://127.0.0.1:8000/verify-email?token=" in output
    assert "To: grace@example.com\nSubject: Your password has been changed\n" in output
    assert output.endswith("E-mails in the outbox: 2.\n")


def test_show_reports_an_empty_outbox(run):
    assert run("show").stdout == "The outbox is empty.\n"


def test_show_prints_json(run, post):
    posted = post("reset_password")
    [shown] = json.loads(run("show", "--json").stdout)
    assert shown["id"] == posted["id"]
    assert shown["to"] == "ada@example.com"
    assert shown["template"] == "reset_password"
    assert shown["link"].startswith("http://127.0.0.1:8000/reset-password?token=")
    assert shown["link"] in shown["text"]
    assert shown["given_up"] is False


def test_show_hides_tokens_in_production(run, post):
    post("reset_password")
    result = run("show", "--json", PIXORA_ENV="production", PUBLIC_URL="https://auth.example.com")
    [shown] = json.loads(result.stdout)
    assert shown["link"] == "https://auth.example.com/reset-password?token=(hidden)"


def test_show_omits_an_email_whose_link_has_expired(run, post, move_clock):
    post("reset_password")
    move_clock(minutes=30)
    assert run("show").stdout == "The outbox is empty.\n"


def test_show_prints_why_an_email_failed(run, post, smtp):
    post(to="gone@example.com")
    post(to="full@example.com")
    smtp.at_rcpt = lambda recipient: "550 5.1.1 unknown" if recipient == "gone@example.com" else "452 4.2.2 full"
    run("send", SMTP_URL=smtp.url)
    output = run("show").stdout
    assert "State: given up after attempt 1 (550 5.1.1)\n" in output
    assert "State: attempt 1 failed (452 4.2.2), next attempt at 20" in output


def test_show_marks_a_token_that_cannot_be_decrypted(post, make_app):
    post("reset_password")
    app = make_app(SECRET_KEY="another")
    with app.app_context():
        shown = app.test_cli_runner().invoke(args=["mail", "show"]).stdout
    assert "token=(encrypted-under-another-SECRET_KEY)" in shown


def test_show_includes_an_email_that_is_being_sent(run, post):
    post()
    services.outbox.claim(clock.utcnow())
    assert "E-mails in the outbox: 1." in run("show").stdout


def test_preview_prints_an_email_in_a_language_and_sends_nothing(run, users):
    output = run("preview", "verify_email", "--language", "de-at").stdout
    assert output.startswith(
        "Template: de/verify_email.txt, Pixora's own\nTo: ada@example.com\nSubject: E-Mail-Adresse bestätigen\n"
    )
    assert "/verify-email?locale=de&token=preview" in output
    assert users.count_documents({}) == 0


def test_preview_prints_html(run):
    assert run("preview", "password_changed", "--html").stdout.startswith('<!doctype html>\n<html lang="en"')


def test_preview_needs_no_database(make_app):
    app = make_app(MONGO_URI=f"mongodb://127.0.0.1:{free_port()}/pixora", DATABASE_TIMEOUT_MS=200)
    assert (
        "Subject: Reset your password"
        in app.test_cli_runner().invoke(args=["mail", "preview", "reset_password"]).stdout
    )


@pytest.mark.parametrize("arguments", [["verfy_email"], ["verify_email", "--language", "../de"], []])
def test_preview_rejects_an_unknown_template_or_language(run, arguments):
    assert run("preview", *arguments).exit_code == 2


def test_preview_uses_the_templates_of_the_operator(make_app, tmp_path):
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr/verify_email.txt").write_text("Bonjour {{ first_name }}\n\nVoici :\n\n-> Vérifier\n")
    runner = make_app(MAIL_TEMPLATES=str(tmp_path)).test_cli_runner()
    output = runner.invoke(args=["mail", "preview", "verify_email", "--language", "fr-CA"]).stdout
    assert output.startswith("Template: fr/verify_email.txt, from MAIL_TEMPLATES\n")
    assert "Subject: Bonjour Ada\n" in output


def test_show_prints_emails_in_the_language_of_their_user(run, post, users):
    post("password_changed")
    users.update_many({}, {"$set": {"locale": "de-CH", "accept_language": ["fr"]}})
    assert "Subject: Ihr Passwort wurde geändert" in run("show").stdout
    users.update_many({}, {"$set": {"locale": None, "accept_language": ["fr", "de", "en"]}})
    assert "Subject: Ihr Passwort wurde geändert" in run("show").stdout
