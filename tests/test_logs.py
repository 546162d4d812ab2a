import json
import logging
import subprocess
import sys

from tests.factories import PASSWORD, signup_body


def test_a_line_is_one_json_object_with_the_time_in_utc(capture_logs):
    with capture_logs() as lines:
        logging.getLogger("pixora.test").warning("two\nlines", extra={"event": "test"})
    [line] = lines
    assert line["time"].endswith("+00:00")
    assert line["level"] == "WARNING"
    assert line["logger"] == "pixora.test"
    assert line["message"] == "two\nlines"
    assert line["event"] == "test"


def test_a_line_of_a_request_carries_its_id(make_app, capture_logs):
    app = make_app(MONGO_URI="mongodb://127.0.0.1:1/pixora", DATABASE_TIMEOUT_MS=100)
    with capture_logs() as lines:
        app.test_client().get("/health", headers={"X-Request-ID": "follow-me"})
    assert [line["request_id"] for line in lines] == ["follow-me"]


def test_nothing_secret_is_in_any_line_or_error(make_app, settings, capture_logs):
    secrets = (
        PASSWORD,
        "s3cr3t-of-the-database",
        settings["JWT_SECRET_KEY"],
        settings["SECRET_KEY"],
        "ada@example.com",
        "$2b$",
    )
    told = []
    uris = (settings["MONGO_URI"], "mongodb://root:s3cr3t-of-the-database@127.0.0.1:1/pixora")
    clients = [make_app(MONGO_URI=uri, DATABASE_TIMEOUT_MS=500).test_client() for uri in uris]
    with capture_logs() as lines:
        for client in clients:
            told.append(client.post("/api/auth/signup", json=signup_body()))
            told.append(client.post("/api/auth/signup", json=signup_body()))
            told.append(client.post("/api/auth/signup", json=signup_body(password=PASSWORD * 9)))
            told.append(
                client.post("/api/auth/login", data={"username": "ada@example.com", "password": PASSWORD + "x"})
            )
            told.append(client.post("/api/auth/login", data={"username": PASSWORD, "password": ""}))
            told.append(client.get("/health"))
    assert {response.status_code for response in told} == {201, 409, 422, 401, 200, 503}
    assert len(lines) >= 5
    text = json.dumps(lines) + "".join(response.text for response in told)
    for secret in secrets:
        assert secret not in text


def test_logs_go_to_standard_output():
    program = "import logging; from pixora import logs; logs.init(); logging.getLogger('x').info('hello')"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["message"] == "hello"
    assert run.stderr == ""
