"""Traces, sent to a collector: an OTLP receiver that keeps what comes."""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mongod import free_port
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.factories import PASSWORD, log_in, sign_up, signup_body
from tests.interpreter import MOST_SECONDS
from tests.system.client import Client
from tests.system.conftest import ROOT
from tests.timeouts import LONG, SOON

SERVER, CLIENT = 2, 3
"""Kinds of spans, in the protocol."""


class Collector(ThreadingHTTPServer):
    """Listens on a free port; `received` are the bodies."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def spans(self):
        for body in self.received:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    yield from scope.spans

    def wait_for(self, is_it):
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            if found := [span for span in self.spans() if is_it(span)]:
                return found
            time.sleep(0.05)
        raise AssertionError([span.name for span in self.spans()])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        self.server.received.append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def collector():
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def service(gunicorn, collector):
    with gunicorn(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="100") as url:
        yield url


def attributes(span):
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_request_is_a_span_with_its_commands_to_mongodb_and_its_log_line_names_the_trace(service, collector):
    client = Client(service)
    sign_up(client, email="traced@example.com")
    token = log_in(client, "traced@example.com").json["access_token"]
    client.get("/api/users/me", headers={"Authorization": f"Bearer {token}", "X-Request-ID": "follow-me"})
    [span] = collector.wait_for(lambda span: attributes(span).get("request_id") == "follow-me")
    assert (span.name, span.kind) == ("GET /api/users/me", SERVER)
    assert attributes(span)["http.status_code"] == 200
    [find] = collector.wait_for(lambda other: other.parent_span_id == span.span_id)
    assert (find.kind, find.trace_id) == (CLIENT, span.trace_id)
    assert find.name.endswith(".find")
    assert attributes(find)["db.mongodb.collection"] == "users"
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    [line] = [line for line in lines if line.get("request_id") == "follow-me"]
    assert line["trace_id"] == span.trace_id.hex()


def test_the_service_has_a_name(service, collector):
    Client(service).get("/")
    collector.wait_for(lambda span: span.name == "GET /")
    resource = ExportTraceServiceRequest.FromString(collector.received[-1]).resource_spans[0].resource
    assert {one.key: one.value.string_value for one in resource.attributes}["service.name"] == "pixora"


def test_nothing_secret_or_personal_leaves_the_house(service, collector):
    client = Client(service)
    for _ in range(2):
        sign_up(client, email="private@example.com")  # the second meets the unique index, whose message has the address
    token = log_in(client, "private@example.com").json["access_token"]
    for path in ("/verify-email?token=s3cr3t", "/nowhere/s3cr3t?token=s3cr3t", "/api/users/s3cr3t"):
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "agent-s3cr3t", "Cookie": "s3cr3t"}
        client.get(path, headers=headers)
    client.get("/api/users/me", headers={"X-Request-ID": "the-last"})
    collector.wait_for(lambda span: attributes(span).get("request_id") == "the-last")
    told = b"".join(collector.received)
    for secret in ("private@example.com", "s3cr3t", PASSWORD, token, signup_body()["last_name"], "127.0.0.1:"):
        assert secret.encode() not in told, secret
    assert "GET /verify-email" in {span.name for span in collector.spans()}
    assert "GET" in {span.name for span in collector.spans()}
    assert not [span.name for span in collector.spans() if span.events or span.status.message]


def test_probes_and_what_happens_outside_of_a_request_are_not_traced(service, collector):
    for path in ("/health", "/health/live", "/metrics"):
        Client(service).get(path)
    Client(service).get("/", headers={"X-Request-ID": "after-the-probes"})
    collector.wait_for(lambda span: attributes(span).get("request_id") == "after-the-probes")
    spans = list(collector.spans())
    assert not [span.name for span in spans if "health" in span.name or "metrics" in span.name]
    assert not [span.name for span in spans if span.kind != SERVER and not span.parent_span_id]


def test_spans_of_the_last_requests_are_sent_when_the_service_stops(gunicorn, collector):
    with gunicorn(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="60000") as url:
        Client(url).get("/", headers={"X-Request-ID": "the-very-last"})
        assert not [span for span in collector.spans() if attributes(span).get("request_id") == "the-very-last"]
    collector.wait_for(lambda span: attributes(span).get("request_id") == "the-very-last")


def test_without_a_collector_requests_are_answered_as_ever_and_stopping_takes_no_longer(gunicorn):
    with gunicorn(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}", OTEL_BSP_SCHEDULE_DELAY="100") as url:
        began = time.monotonic()
        for _ in range(100):
            assert Client(url).get("/").json["name"] == "Pixora"
        assert time.monotonic() - began < SOON
        began = time.monotonic()
        os.kill(url.pid, 15)
        with suppress(ChildProcessError):
            os.waitpid(url.pid, 0)
        assert time.monotonic() - began < SOON


@pytest.fixture
def run(settings):
    """Run a program, or Python code, in the environment of a service with tracing."""

    def run(*program, **variables):
        environment = {
            "PATH": os.environ["PATH"],
            "PIXORA_ENV": "testing",
            "MONGO_URI": settings.mongo_uri,
            "SECRET_KEY": "x" * 40,
            "JWT_SECRET_KEY": "y" * 40,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        }
        command = program if len(program) > 1 else [sys.executable, "-c", *program]
        return subprocess.run(
            command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=LONG
        )

    return run


def test_unless_it_is_asked_for_nothing_of_it_is_loaded(run):
    program = "import sys, wsgi; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    ran = run(program, OTEL_SDK_DISABLED="true")
    assert ran.stdout == "[]\n", ran.stderr


def test_no_header_of_traces_holds_the_interpreter_for_long(run):
    program = """
import wsgi
from tests.interpreter import seconds_held
client = wsgi.app.test_client()
parent = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
for headers in (
    {"baggage": "a" + " " * 8000 + "=b"},
    {"baggage": "a=b," * 2000},
    {"traceparent": "00-" + "1" * 8000},
    parent | {"tracestate": "a=b" + " " * 8000 + "x"},
    parent | {"tracestate": "a=b," * 2000},
):
    print("held", seconds_held(lambda: client.get("/", headers=headers)))
"""
    ran = run(program)
    held = [float(line.split()[1]) for line in ran.stdout.splitlines() if line.startswith("held ")]
    assert len(held) == 5, ran.stderr
    assert max(held) < MOST_SECONDS


@pytest.mark.parametrize("variables", [{}, {"OTEL_PROPAGATORS": "none"}, {"OTEL_PROPAGATORS": "baggage"}])
def test_a_request_belongs_to_the_trace_of_its_caller_whatever_the_propagators(run, variables):
    program = """
import wsgi
wsgi.app.test_client().get("/", headers={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"})
"""
    ran = run(program, **variables)
    [line] = [json.loads(line) for line in ran.stdout.splitlines() if '"trace_id"' in line]
    assert line["trace_id"] == "1" * 32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_PROPAGATORS", "bogus"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),  # less than a batch
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_PYTHON_EXCLUDED_URLS", "["),
    ],
)
def test_a_variable_that_opentelemetry_cannot_use_ends_the_start_with_one_message(run, name, value):
    ran = run("import wsgi", **{name: value})
    assert ran.returncode == os.EX_CONFIG
    assert name in ran.stderr
    assert "Traceback" not in ran.stderr


def test_gunicorn_reports_once_that_opentelemetry_cannot_use_a_variable(run):
    gunicorn = Path(sys.executable).with_name("gunicorn")
    ran = run(gunicorn, "--bind", "127.0.0.1:0", "wsgi:app", OTEL_BSP_MAX_QUEUE_SIZE="0")
    assert ran.returncode == os.EX_CONFIG
    assert (ran.stdout + ran.stderr).count("OTEL_BSP_MAX_QUEUE_SIZE") == 1
