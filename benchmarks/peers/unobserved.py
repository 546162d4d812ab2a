"""Pixora without metrics and without a line for each request: what `benchmarks/observing.py` compares it with."""

from types import SimpleNamespace

import flask

from pixora.observability import metrics, request_log

request_log.Flask.process_response = flask.Flask.process_response
request_log.Flask.request_class = flask.Request
metrics.database_operation = lambda name: SimpleNamespace(observe=lambda seconds: None)

from wsgi import app  # noqa: E402  # made without these

__all__ = ["app"]
