"""Settings of traces, and the packages that these need."""

import pytest

import config
from tests.configuration.conftest import GOOD

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example.com:4318"}


def test_traces_are_wanted_where_there_is_a_collector(load):
    assert load(**GOOD).tracing is False
    assert load(**GOOD, OTEL_EXPORTER_OTLP_ENDPOINT="").tracing is False
    assert load(**GOOD, **COLLECTOR).tracing is True
    assert load(**GOOD, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://c.example.com/v1/traces").tracing is True
    assert load(**GOOD, **COLLECTOR, OTEL_SDK_DISABLED="true").tracing is False
    assert load(**GOOD, **COLLECTOR, OTEL_TRACES_EXPORTER="none").tracing is False


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.instrumentation.flask"])
def test_traces_without_the_packages_are_refused_with_what_to_install(faults, load, monkeypatch, missing):
    find = config.find_spec
    monkeypatch.setattr(config, "find_spec", lambda name: None if name == missing else find(name))
    [sentence] = faults(**GOOD, **COLLECTOR)["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert "pip install --require-hashes -r requirements-tracing.txt" in sentence
    assert load(**GOOD, **COLLECTOR, OTEL_SDK_DISABLED="true").tracing is False


def test_traces_go_over_http(faults):
    for name, value in (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_EXPORTER", "zipkin")):
        assert set(faults(**GOOD, **COLLECTOR, **{name: value})) == {name}
    for endpoint in ("collector.example.com:4317", "grpc://c.example.com", "http://", "http://[::1", "http://c:x"):
        assert set(faults(**GOOD, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)) == {"OTEL_EXPORTER_OTLP_ENDPOINT"}
