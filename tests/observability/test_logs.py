import json
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from pymongo.errors import DuplicateKeyError

from pixora.observability import metrics
from pixora.observability.logs import Formatter, Handler
from tests.documents import ROOT
from tests.factories import PASSWORD, fastapi_user, log_in, sign_up
from tests.timeouts import SOON


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
        settings.jwt_secret_key,
        settings.secret_key,
        "ada@example.com",
        "$2b$",
    )
    told = []
    away = {"MONGO_URI": "mongodb://root:s3cr3t-of-the-database@127.0.0.1:1/pixora", "DATABASE_TIMEOUT_MS": 500}
    clients = [make_app().test_client(), make_app(**away).test_client()]
    with capture_logs() as lines:
        for client in clients:
            told.append(sign_up(client))
            told.append(sign_up(client))
            told.append(sign_up(client, password=PASSWORD * 9))
            told.append(log_in(client, "ada@example.com", PASSWORD + "x"))
            told.append(log_in(client, PASSWORD, ""))
            told.append(client.get("/health"))
    assert {response.status_code for response in told} == {201, 409, 422, 401, 200, 503}
    assert len(lines) >= 5
    text = json.dumps(lines) + "".join(response.text for response in told)
    for secret in secrets:
        assert secret not in text


def test_what_an_error_of_the_database_quotes_of_a_document_is_not_in_a_line(app, users, capture_logs):
    user = fastapi_user()
    users.insert_one(user)
    with capture_logs() as lines:
        try:
            users.insert_one(user | {"_id": "another"})
        except DuplicateKeyError:
            logging.getLogger("pixora.test").exception("failed")
    [line] = [line["exc_info"] for line in lines]
    assert line.endswith("index: email_1 dup key: …")
    assert user["email"] not in line


def test_logs_go_to_standard_output():
    program = "import logging; from pixora.observability import logs; logs.init(); logging.getLogger('x').info('hello')"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["message"] == "hello"
    assert run.stderr == ""


def test_the_format_is_loaded_without_the_application():
    # As gunicorn's master does it: what the master imports, a reload does not renew.
    program = "import sys, runpy; runpy.run_path('pixora/observability/log_format.py'); print('pixora' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "False\n"


@pytest.fixture
def pipe():
    """A pipe that nobody reads, and a file that writes into it as stdout would."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        yield reader, stream
        with suppress(OSError):
            os.set_blocking(reader, False)
            while os.read(reader, 65536):
                pass
    with suppress(OSError):
        os.close(reader)


def lost():
    return metrics.REGISTRY.get_sample_value("pixora_log_lines_lost_total")


def logger_on(stream):
    logger = logging.Logger("pixora.test")  # noqa: LOG001  # one without the handlers of the others
    handler = Handler(stream)
    handler.setFormatter(Formatter())
    logger.addHandler(handler)
    return logger, handler


def test_when_nobody_reads_standard_output_lines_are_lost_and_nobody_waits(pipe):
    reader, stream = pipe
    logger, handler = logger_on(stream)
    before, began = lost(), time.monotonic()
    for number in range(2000):
        logger.info("line %s", number)
        handler.write("{}")
    assert time.monotonic() - began < SOON
    assert lost() - before > 500
    # Somebody reads again, and lines come again, all of them whole.
    kept = os.read(reader, 1 << 20).decode()
    assert all(json.loads(line) is not None for line in kept.splitlines())
    logger.info("back")
    assert json.loads(os.read(reader, 65536))["message"] == "back"


def test_when_a_line_is_caught_in_a_write_the_others_do_not_wait_for_it(pipe):
    _, stream = pipe
    logger, handler = logger_on(stream)
    threads = [threading.Thread(target=logger.info, args=["line"]) for _ in range(20)]
    with handler.lock:
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < SOON


def test_when_the_reader_of_standard_output_is_gone_the_service_goes_on(pipe, capfd):
    reader, stream = pipe
    logger, handler = logger_on(stream)
    os.close(reader)
    before = lost()
    logger.info("line")
    handler.write("{}", "{}")
    assert lost() - before == 3
    assert capfd.readouterr().err == ""


def test_without_standard_output_nothing_breaks():
    program = "import logging; from pixora.observability import logs; logs.init(); logging.getLogger('x').info('hello')"
    run = subprocess.run(f'{sys.executable} -c "{program}" >&-', shell=True, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "")
    assert "Traceback" not in run.stderr
