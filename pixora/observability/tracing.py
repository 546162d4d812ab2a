"""Traces, for OpenTelemetry: a span for each request, and in it one for each command to MongoDB.

Imported only if the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT) enable it; needs the packages of
requirements-tracing.txt. The SDK reads its other variables itself: sampler, headers, service name. Of the
headers of requests only traceparent and tracestate are read.

The instrumentations record confidential data: the URL with its query, which may contain a token, the client's IP
address, and MongoDB's error messages, which may contain an e-mail address. So only the attributes listed here are
exported.
"""

import atexit
import threading
from collections.abc import Sequence
from typing import Any

from flask import Flask, g
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pixora.web.middleware import request_id

ATTRIBUTES = frozenset(
    {
        *("http.method", "http.route", "http.status_code", "http.scheme"),
        *("http.request.method", "http.response.status_code", "url.scheme", "error.type"),
        *("db.system", "db.name", "db.mongodb.collection", "net.peer.name", "net.peer.port"),
        *("db.system.name", "db.namespace", "db.collection.name", "server.address", "server.port"),
        "request_id",
    }
)
"""The exported attributes, in the old and the new semantic conventions (OTEL_SEMCONV_STABILITY_OPT_IN)."""

EXIT_SECONDS = 2

PROBES = r"/health(/live)?$,/metrics$"


class Exporter(SpanExporter):
    """Exports spans with the attributes that are allowed."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, except commands to MongoDB outside requests, of which there are some every second."""
        return self._exporter.export([_cleaned(span) for span in spans if span.parent or span.kind is SpanKind.SERVER])

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until all spans are sent."""
        return self._exporter.force_flush(timeout_millis)


def init_app(app: Flask) -> None:
    """Trace an application. Call this before its first hook and its MongoDB client exist, and after gunicorn forks."""
    # Whatever OTEL_PROPAGATORS says. Nothing here reads baggage, and to parse 8 kB of spaces in it took 49 ms of CPU.
    # With "none" the instrumentation of Flask fails in every request.
    set_global_textmap(TraceContextTextMapPropagator())
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "pixora"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Exporter(OTLPSpanExporter())))
    _shut_down_at_exit(provider)
    FlaskInstrumentor().instrument_app(  # type: ignore[no-untyped-call]
        app, request_hook=_begin, tracer_provider=provider, excluded_urls=PROBES, enable_commenter=False
    )
    PymongoInstrumentor().instrument(tracer_provider=provider, capture_statement=False)


def _shut_down_at_exit(provider: TracerProvider) -> None:
    """Send the remaining spans at exit, waiting only briefly: an unreachable collector must not delay deploys."""
    closing, closed = threading.Event(), threading.Event()

    def shut_down() -> None:
        closing.wait()
        provider.shutdown()
        closed.set()

    def at_exit() -> None:
        closing.set()
        closed.wait(EXIT_SECONDS)

    # Started now, because no thread can start at exit.
    threading.Thread(target=shut_down, name="tracing", daemon=True).start()
    atexit.register(at_exit)


def _begin(span: Span, environ: dict[str, Any]) -> None:
    g.trace_id = f"{span.get_span_context().trace_id:032x}"
    span.set_attribute("request_id", request_id())


def _cleaned(span: ReadableSpan) -> ReadableSpan:
    attributes = {name: value for name, value in (span.attributes or {}).items() if name in ATTRIBUTES}
    name = span.name
    if span.kind is SpanKind.SERVER and "http.route" not in attributes:
        name = str(attributes.get("http.method") or attributes.get("http.request.method") or "HTTP")  # not the path
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
